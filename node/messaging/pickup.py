"""Fetching what one mediator holds for us over one connection: what waits first, then what it pushes.

Only what intake has taken, or will never take, is confirmed, so a crash in between loses nothing. Messages are taken
one after the other, in the mediator's order, so that those of a thread keep theirs. One that intake puts off holds up
those behind it for a while, and no longer: what puts it off then is that its sender has too much waiting.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from node.clock import NowMs
from node.errors import NotNow
from node.messaging.source import TRY_LATER
from protocols.conversations import pickup, problem_report
from protocols.conversations.pickup import Delivered
from protocols.conversations.pickup_recipient import Recipient, Step
from protocols.conversations.reply import Reply
from protocols.errors import UnexpectedMessage
from protocols.message import Message

LOOK_EVERY_S: Final = 60.0
"""How often a mediator is asked what waits, though it is live: a push may have been lost."""

PUT_OFF_S: Final = 0.5
"""How long after intake put a message off the mediator is asked for it again."""

PUT_OFF_TRIES: Final = 4
"""So often a message that is put off holds up those behind it."""

MAX_PUT_OFF: Final = 1024
"""Messages whose putting off is counted."""

MAX_PUSHES: Final = 64
"""Pushed deliveries that wait to be stored: as many as an honest mediator has unconfirmed messages under way."""

Ask = Callable[[Reply], Awaitable[Message]]
"""Asks the mediator and gives its answer. Raises PagiError."""

Tell = Callable[[Reply], Awaitable[None]]
"""Tells the mediator something that has no answer. Raises PagiError."""

Take = Callable[[bytes], Awaitable[bytes]]
"""Takes one packed message: ACCEPTED, REFUSED or TRY_LATER."""


class Pickup:
    """One connection to a mediator. `waiting` is how much it said it holds; `taken` counts what came."""

    def __init__(self, *, ask: Ask, tell: Tell, take: Take, now: NowMs) -> None:
        self._ask = ask
        self._tell = tell
        self._take = take
        self._now = now
        self._pushed: asyncio.Queue[Message] = asyncio.Queue(MAX_PUSHES)
        self._recipient: Recipient | None = None
        self._put_off: Counter[str] = Counter()
        self._look_ms = 0
        self.waiting: int | None = None
        self.taken = 0

    def push(self, message: Message) -> None:
        """The mediator sent this by itself. Raises NotNow if too much of that waits."""
        try:
            self._pushed.put_nowait(message)
        except asyncio.QueueFull as error:
            raise NotNow("the mediator pushes faster than its messages can be stored") from error

    async def begin(self) -> None:
        """Ask to be brought what comes, and fetch what waits. Raises PagiError, UnexpectedMessage for nonsense."""
        self._look_after(LOOK_EVERY_S)
        for version in pickup.VERSIONS:
            step = Recipient(version).begin(live=True)
            answer = await self._ask(step.sends[0])
            if self._is_unknown(answer) and version != pickup.VERSIONS[-1]:
                continue
            await self._follow(self._received(step.recipient, answer))
            return

    async def next(self, timeout_s: float) -> None:
        """Take what was pushed; wait for that for so long at most, and look again when it is time to.

        Raises PagiError if the mediator does not answer, or answers with nonsense.
        """
        assert self._recipient is not None
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._pushed.get()
        except TimeoutError:
            if self._now() >= self._look_ms:
                await self._look()
            return
        try:
            step = self._received(self._recipient, message)
        except UnexpectedMessage:
            return  # An answer that came too late, or that nobody asked for.
        await self._follow(step)

    async def _look(self) -> None:
        assert self._recipient is not None
        self._look_after(LOOK_EVERY_S)
        step = self._recipient.begin(live=False)
        answer = await self._ask(step.sends[0])
        if answer.type in pickup.STATUS.values():
            status = pickup.Status.from_body(answer.body, self._recipient.version)
            if status.live_delivery is False:  # It was live once: a push did not get through.
                await self.begin()
                return
        await self._follow(self._received(step.recipient, answer))

    async def _follow(self, step: Step) -> None:
        """Store what was brought, send what is to be sent, and so on until the mediator has nothing more."""
        while step.brought or step.sends:
            pause = False
            if step.brought:
                taken, pause = await self._store(step.brought)
                step = step.recipient.confirm(taken)
            sends, step = step.sends, Step(step.recipient)
            for reply in sends:
                if reply.type in pickup.MESSAGES_RECEIVED.values():
                    await self._tell(reply)
                else:
                    if pause:
                        await asyncio.sleep(PUT_OFF_S)
                    step = self._received(step.recipient, await self._ask(reply))
        self._recipient = step.recipient

    def _received(self, recipient: Recipient, message: Message) -> Step:
        if message.type == pickup.STATUS[recipient.version]:
            self.waiting = pickup.Status.from_body(message.body, recipient.version).message_count
        elif message.type == pickup.DELIVERY[recipient.version] and not message.attachments:
            self.waiting = 0
        return recipient.receive(message)

    async def _store(self, brought: Sequence[Delivered]) -> tuple[list[str], bool]:
        """The ids of what was taken, and whether something was put off."""
        done: list[str] = []
        put_off = False
        for message in brought:
            if await self._take(message.packed) == TRY_LATER:
                put_off = True
                self._look_after(PUT_OFF_S)
                if len(self._put_off) > MAX_PUT_OFF:
                    self._put_off.clear()
                self._put_off[message.id] += 1
                if self._put_off[message.id] < PUT_OFF_TRIES:
                    break
            else:
                done.append(message.id)
                self._put_off.pop(message.id, None)
        self.taken += len(done)
        self.waiting = max(0, (self.waiting or 0) - len(done))
        return done, put_off

    def _look_after(self, seconds: float) -> None:
        self._look_ms = self._now() + int(seconds * 1000)

    def _is_unknown(self, answer: Message) -> bool:
        """Whether the mediator does not speak this version."""
        if answer.type != problem_report.PROBLEM:
            return False
        code = problem_report.Problem.from_body(answer.body).code
        return code != problem_report.LIVE_MODE_NOT_SUPPORTED
