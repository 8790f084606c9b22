"""What every agent answers: a ping, and the question what it can do (DIDComm v2.1, "Trust Ping", "Discover Features").

Strangers are answered too: these two are how agents find out whether they can talk at all. Neither tells anything about
the owner. What comes back to such questions and was not waited for is of no use, and is not kept.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from identity.did import Did
from node.messaging.intake import Intake
from node.messaging.source import Source
from protocols.conversations import (
    basicmessage,
    discover_features,
    empty,
    out_of_band,
    problem_report,
    trust_ping,
)
from protocols.conversations.discover_features import Feature, Queries
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply
from protocols.message import Message

HEADERS = tuple(Feature("header", name) for name in ("please_ack", "ack", "return_route", "from_prior"))

SPOKEN: tuple[Table, ...] = (
    trust_ping.SENDER,
    trust_ping.RECEIVER,
    discover_features.REQUESTER,
    discover_features.RESPONDER,
    basicmessage.SENDER,
    basicmessage.RECEIVER,
    problem_report.SENDER,
    problem_report.RECEIVER,
    empty.SENDER,
    empty.RECEIVER,
    out_of_band.SENDER,
    out_of_band.RECEIVER,
)
"""The roles that every twin plays."""

OnPing = Callable[[Did, Message], Awaitable[None]]
"""Is told of each ping before it is answered: one may introduce its sender."""


class Courtesies:
    """Answers pings and questions about features. `disclose` adds what else this twin can do."""

    def __init__(self, intake: Intake, *, on_ping: OnPing) -> None:
        self._on_ping = on_ping
        self._known: list[Feature] = [*discover_features.features_of(SPOKEN), *HEADERS]
        intake.answer(trust_ping.PING, self._answer_ping, strangers=True)
        intake.answer(discover_features.QUERIES, self._answer_queries, strangers=True)
        for nothing_to_do in (empty.EMPTY, trust_ping.PING_RESPONSE, discover_features.DISCLOSE):
            intake.answer(nothing_to_do, _ignore, strangers=True)

    def disclose(self, features: Iterable[Feature]) -> None:
        """Say, to whoever asks, that this twin can do this too."""
        self._known += (feature for feature in features if feature not in self._known)

    async def _answer_ping(self, source: Source, sender: Did, message: Message) -> Sequence[Reply]:
        reply = trust_ping.respond(message)
        await self._on_ping(sender, message)
        return () if reply is None else (reply,)

    async def _answer_queries(self, source: Source, sender: Did, message: Message) -> Sequence[Reply]:
        return (discover_features.disclose(Queries.from_body(message.body), self._known),)


async def _ignore(source: Source, sender: Did, message: Message) -> Sequence[Reply]:
    return ()
