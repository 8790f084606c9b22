"""Message pickup, the recipient: fetches what its mediator holds for it, and says what may be forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from protocols import limits
from protocols.conversations.pickup import (
    DELIVERY,
    DELIVERY_REQUEST,
    LIVE_DELIVERY_CHANGE,
    MESSAGES_RECEIVED,
    RECIPIENT,
    STATUS,
    STATUS_REQUEST,
    Delivered,
    DeliveryRequest,
    LiveDeliveryChange,
    MessagesReceived,
    Status,
    Version,
    read_delivery,
)
from protocols.conversations.reply import Reply
from protocols.message import Message


@dataclass(frozen=True, slots=True)
class Step:
    """What came of an event: the machine as it is now, what to send in this order, and what was brought.

    What was brought has to be stored first; then `Recipient.confirm` names what is safe.
    """

    recipient: "Recipient"
    sends: tuple[Reply, ...] = ()
    brought: tuple[Delivered, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One connection to a mediator that holds our mail; each connection has a machine of its own.

    It asks, fetches and confirms until nothing is left, and then waits for what live mode brings.
    """

    version: Version
    limit: int = limits.MAX_DELIVERY
    state: str = "away"

    def begin(self, *, live: bool) -> Step:
        """Ask what there is, and with `live` to be brought what comes later; also to look again when it is idle."""
        if live and self.state == "away":
            return self._sends(self._ask(LIVE_DELIVERY_CHANGE, LiveDeliveryChange(True).to_body()))
        return self._sends(self._ask(STATUS_REQUEST))

    def receive(self, message: Message) -> Step:
        """Take what the mediator sent. Raises UnexpectedMessage or MalformedMessage and changes nothing."""
        brought: tuple[Delivered, ...] = ()
        sends: tuple[Reply, ...] = ()
        if message.type == DELIVERY[self.version]:
            brought = read_delivery(message)
            state = self._after(message, some=bool(brought))
        elif message.type == STATUS[self.version]:
            state = self._after(message, some=Status.from_body(message.body, self.version).message_count > 0)
            if state == "fetching" != self.state:
                sends = (self._fetch(),)
        else:  # Live mode is refused: what waits is fetched all the same.
            state = RECIPIENT[self.version].received(self.state, message)
            sends = (self._ask(STATUS_REQUEST),)
        return Step(replace(self, state=state), sends, brought)

    def confirm(self, ids: Sequence[str]) -> Step:
        """These of the messages that were brought are on disk. Without any it rests until `begin`: nothing is lost."""
        if not ids:
            state = RECIPIENT[self.version].after(self.state, "nothing could be stored")
            return Step(replace(self, state=state))
        step = self._sends(self._ask(MESSAGES_RECEIVED, MessagesReceived(tuple(ids)).to_body()))
        return replace(step, sends=(*step.sends, self._fetch())) if step.recipient.state == "fetching" else step

    def _after(self, message: Message, *, some: bool) -> str:
        return RECIPIENT[self.version].received(self.state, message, "some" if some else "empty")

    def _fetch(self) -> Reply:
        return self._ask(DELIVERY_REQUEST, DeliveryRequest(self.limit).to_body(self.version))

    def _ask(self, types: Mapping[Version, str], body: Mapping[str, Any] | None = None) -> Reply:
        """Answers come over the connection that asked, as the requirements of either version want it."""
        return Reply(types[self.version], body or {}, return_route="all")

    def _sends(self, reply: Reply) -> Step:
        return Step(replace(self, state=RECIPIENT[self.version].sent(self.state, reply.type)), (reply,))
