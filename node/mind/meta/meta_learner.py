"""The meta-learner: lets the cases look from time to time, and does what the owner lets it do of what they find.

With `[mind] meta_learning = "propose"` only what is harmless and of this twin alone is done unasked; all else waits for
the owner, who is told. With `"on"` everything is done, with `"off"` nothing is looked for. What acts on other twins is
never more than a signed revision of a playbook, which each of them judges for itself. Every action is recorded before
it is carried out, is an event, and can be taken back; what a crash interrupts has changed no setting in the end.
"""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.events import EventBus
from node.mind.errors import WorkStopped
from node.mind.meta.case import Case, Finding, Taken
from node.mind.meta.errors import ActionSettled, ActionUnknown, LearningOff
from node.mind.meta.undoing import Undoing
from storage import meta_learning as rows
from storage.database import Database
from storage.meta_learning import MetaAction, State
from storage.page import Page

logger = logging.getLogger(__name__)

Mode = Literal["on", "propose", "off"]

LOOK_EVERY_S: Final = 300.0

MIN_BETWEEN_S: Final = 3600
"""How long a case rests after it has acted or proposed: what it did is to show first."""

MAX_A_DAY: Final = 12
"""Actions of all cases together, proposed ones included: more nobody reads."""

QUIET_S: Final = 30 * 86_400
"""How long the same is not found again, whatever became of it; what failed is tried again."""

INTERRUPTED: Final = "it was interrupted; see the playbook's log for what it had done"

SETTINGS: Final = "settings"
"""What an action that is being carried out keeps for a crash: all settings, as they were."""

ACTED: Final = "learning_action"
"""The event of every change of an action."""


class MetaLearner:
    """The cases, and what became of what they found."""

    def __init__(
        self,
        *,
        database: Database,
        events: EventBus,
        undoing: Undoing,
        cases: Sequence[Case],
        mode: Mode,
        check: Callable[[], None] = lambda: None,
        now: NowMs = now_ms,
    ) -> None:
        """What `check` raises keeps everything from being done, and nothing from being taken back."""
        self._database = database
        self._events = events
        self._undoing = undoing
        self._cases = {case.name: case for case in cases}
        self.mode: Final = mode
        self._check = check
        self._now = now
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        async with self._turn():
            pass
        while self.mode != "off":
            await asyncio.sleep(LOOK_EVERY_S)
            with suppress(WorkStopped):
                await self.look()
        await asyncio.Event().wait()

    async def look(self) -> Sequence[MetaAction]:
        """Settle what is being tried, and let every case look once; what came of it. Raises LearningOff."""
        if self.mode == "off":
            raise LearningOff("meta-learning is off")
        self._check()
        async with self._turn():
            done = [settled for action in await self._with(["trying"]) if (settled := await self._settle(action))]
            for case in self._cases.values():
                try:
                    found = await self._look(case)
                except PagiError as error:
                    logger.warning("the case %s could not look: %s", case.name, error)
                    continue
                done += [found] if found is not None else []
            return done

    async def list(self, limit: int, after: str | None = None) -> Page[MetaAction]:
        """What was done and proposed, newest first."""
        return await self._database.read(lambda conn: rows.page(conn, limit=limit, after=after))

    async def get(self, action_id: str) -> MetaAction:
        """One action. Raises ActionUnknown."""
        action = await self._database.read(lambda conn: rows.get(conn, action_id))
        if action is None:
            raise ActionUnknown(f"there is no action {action_id[:80]!r}")
        return action

    # The owner decides

    async def approve(self, action_id: str) -> MetaAction:
        """Do what was proposed. Raises ActionUnknown, ActionSettled, and what the case raises."""
        self._check()
        async with self._turn():
            action = await self._still(action_id, "proposed")
            return await self._act(action)

    async def decline(self, action_id: str) -> MetaAction:
        """Leave what was proposed. Raises ActionUnknown, ActionSettled."""
        async with self._turn():
            return await self._put(replace(await self._still(action_id, "proposed"), needs={}), "declined")

    async def undo(self, action_id: str, why: str = "by you") -> MetaAction:
        """Take back what was done. Raises ActionUnknown, ActionSettled if it is not in effect, ActionFinal."""
        async with self._turn():
            return await self._undo(await self._still(action_id, "done", "trying"), why)

    # Looking and acting

    async def _look(self, case: Case) -> MetaAction | None:
        now = self._now()
        if await self._rests(case, now):
            return None
        finding = await case.look()
        if finding is None:
            return None
        before = await self._same(case, finding, now)
        if any(action.state != "failed" for action in before):
            return None  # it is proposed, tried or done already, or was settled against
        failed = before[0] if before else None
        action = MetaAction(
            id=failed.id if failed else str(uuid.uuid4()),
            matter=case.name,
            about=finding.about,
            state="proposed",
            finding=finding.text,
            action=finding.action,
            measured=finding.measured,
            needs={**finding.needs},
            undo={},
            ts_ms=failed.ts_ms if failed else now,
            updated_ms=now,
        )
        if self.mode == "on" or finding.harmless:
            try:
                return await self._act(action)
            except PagiError as error:
                logger.warning("the case %s could not act: %s", case.name, error)
                return None
        return await self._put(action, "proposed")

    async def _act(self, action: MetaAction) -> MetaAction:
        """Carry it out. It is recorded first, as interrupted and with the settings as they are: see `_turn`."""
        case = self._cases[action.matter]
        interrupted = replace(
            action,
            state="failed",
            action=f"{action.action}: {INTERRUPTED}",
            needs={},
            undo={SETTINGS: self._undoing.settings},
            updated_ms=self._now(),
        )
        await self._database.write(lambda conn: rows.put(conn, interrupted))
        try:
            taken = await case.act(_finding(action))
        except PagiError as error:
            await self._put(replace(action, action=f"{action.action}: {error}", needs={}), "failed")
            raise
        acted = replace(action, action=taken.text, undo=dict(taken.undo))
        return await self._put(acted, "trying" if taken.trying else "done")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One at a time, and not before the settings are as they were when something was interrupted."""
        async with self._one_at_a_time:
            for action in await self._with(["failed"]):
                if SETTINGS in action.undo:
                    over = replace(action, undo={})
                    await self._undoing.restore(action.undo[SETTINGS], also=partial(rows.put, action=over))
                    await self._tell(over)
            yield

    async def _settle(self, action: MetaAction) -> MetaAction | None:
        """Keep or take back what was tried; None while that is open."""
        case = self._cases.get(action.matter)
        try:
            outlook = await case.outlook(action) if case is not None else None
            if isinstance(outlook, Taken):
                return await self._put(replace(action, action=outlook.text, undo=dict(outlook.undo)), "done")
            if outlook == "keep":
                return await self._put(action, "done")
            return await self._undo(action, "it was no better") if outlook == "revert" else None
        except PagiError as error:
            logger.warning("how action %s has done could not be told: %s", action.id, error)
            return None

    async def _undo(self, action: MetaAction, why: str) -> MetaAction:
        words = f"{action.action}; taken back {why}"
        undone = replace(action, state="undone", action=words, needs={}, undo={}, updated_ms=self._now())
        told = await self._undoing.undo(action.undo, also=lambda conn: rows.put(conn, undone))
        logger.info("action %s was taken back: %s", action.id, told)
        await self._tell(undone)
        return undone

    async def _rests(self, case: Case, now: int) -> bool:
        def read(conn: sqlite3.Connection) -> bool:
            return bool(rows.since(conn, case.name, now - MIN_BETWEEN_S * 1000)) or (
                rows.count_since(conn, now - 86_400_000) >= MAX_A_DAY
            )

        return await self._database.read(read)

    async def _same(self, case: Case, finding: Finding, now: int) -> Sequence[MetaAction]:
        """What was found of the same lately, newest first."""
        lately = await self._database.read(lambda conn: rows.since(conn, case.name, now - QUIET_S * 1000))
        return [action for action in lately if action.about == finding.about]

    async def _still(self, action_id: str, *states: State) -> MetaAction:
        action = await self.get(action_id)
        if action.state not in states:
            raise ActionSettled(f"the action is {action.state}")
        return action

    async def _with(self, states: Sequence[State]) -> Sequence[MetaAction]:
        return await self._database.read(lambda conn: rows.with_states(conn, states))

    async def _put(self, action: MetaAction, state: State) -> MetaAction:
        action = replace(action, state=state, updated_ms=self._now())
        await self._database.write(lambda conn: rows.put(conn, action))
        await self._tell(action)
        return action

    async def _tell(self, action: MetaAction) -> None:
        data = {"id": action.id, "case": action.matter, "state": action.state}
        await self._events.publish(ACTED, action.id, data, source="mind")


def _finding(action: MetaAction) -> Finding:
    return Finding(
        about=action.about, text=action.finding, action=action.action, measured=action.measured, needs=action.needs
    )
