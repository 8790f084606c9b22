"""Coordinate mediation 2.0 and 3.0: a mediator agrees to take messages for somebody, and for which of their DIDs.

Sources: https://didcomm.org/coordinate-mediation/2.0 and /3.0, which differ in names: `keylist` became `recipient`.
Which DIDs a client may register is for the caller to decide: a mediator that takes any DID gives one client another's
mail.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from identity.did import Did
from protocols import fields, limits
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply
from protocols.errors import MalformedMessage, UnexpectedMessage
from protocols.message import Message

Version = Literal["2.0", "3.0"]
VERSIONS: Final[tuple[Version, ...]] = ("3.0", "2.0")
"""Both versions, the preferred one first."""

URI: Final[Mapping[Version, str]] = {
    version: f"https://didcomm.org/coordinate-mediation/{version}" for version in VERSIONS
}
_LIST: Final[Mapping[Version, str]] = {"2.0": "keylist", "3.0": "recipient"}
_ITEMS: Final[Mapping[Version, str]] = {"2.0": "keys", "3.0": "dids"}

REQUEST: Final[Mapping[Version, str]] = {v: f"{URI[v]}/mediate-request" for v in VERSIONS}
GRANT: Final[Mapping[Version, str]] = {v: f"{URI[v]}/mediate-grant" for v in VERSIONS}
DENY: Final[Mapping[Version, str]] = {v: f"{URI[v]}/mediate-deny" for v in VERSIONS}
UPDATE: Final[Mapping[Version, str]] = {v: f"{URI[v]}/{_LIST[v]}-update" for v in VERSIONS}
UPDATE_RESPONSE: Final[Mapping[Version, str]] = {v: f"{URI[v]}/{_LIST[v]}-update-response" for v in VERSIONS}
QUERY: Final[Mapping[Version, str]] = {v: f"{URI[v]}/{_LIST[v]}-query" for v in VERSIONS}
KEYLIST: Final[Mapping[Version, str]] = {v: f"{URI[v]}/{_LIST[v]}" for v in VERSIONS}

MEDIATOR_TYPES: Final = tuple(types[v] for types in (REQUEST, UPDATE, QUERY) for v in VERSIONS)
"""What a mediator answers."""

Action = Literal["add", "remove"]
Result = Literal["client_error", "server_error", "no_change", "success"]
_RESULTS: Final[tuple[Result, ...]] = ("client_error", "server_error", "no_change", "success")
_VERSION_OF: Final[Mapping[str, Version]] = {uri: version for version, uri in URI.items()}


def _recipient(version: Version) -> Table:
    listed = _LIST[version]
    return Table(
        name=f"coordinate-mediation {version}",
        role="recipient",
        uri=URI[version],
        start="none",
        final=frozenset({"denied"}),
        transitions={
            ("none", "send mediate-request"): "requested",
            ("requested", "receive mediate-grant"): "granted",
            ("requested", "receive mediate-deny"): "denied",
            ("requested", "receive problem-report"): "denied",
            ("requested", "deadline passed"): "none",
            ("granted", f"send {listed}-update"): "updating",
            ("updating", f"receive {listed}-update-response"): "registered",
            ("updating", "receive problem-report"): "granted",
            ("updating", "deadline passed"): "granted",
            ("registered", f"send {listed}-update"): "updating",
            ("registered", f"send {listed}-query"): "querying",
            ("querying", f"receive {listed}"): "registered",
            ("querying", "receive problem-report"): "registered",
            ("querying", "deadline passed"): "registered",
        },
    )


def _mediator(version: Version) -> Table:
    listed = _LIST[version]
    return Table(
        name=f"coordinate-mediation {version}",
        role="mediator",
        uri=URI[version],
        start="none",
        transitions={
            ("none", "receive mediate-request"): "asked",
            ("asked", "send mediate-grant"): "granted",
            ("asked", "send mediate-deny"): "none",
            ("granted", "receive mediate-request"): "asked",
            ("granted", f"receive {listed}-update"): "updating",
            ("updating", f"send {listed}-update-response"): "granted",
            ("granted", f"receive {listed}-query"): "queried",
            ("queried", f"send {listed}"): "granted",
        },
    )


RECIPIENT: Final[Mapping[Version, Table]] = {version: _recipient(version) for version in VERSIONS}
MEDIATOR: Final[Mapping[Version, Table]] = {version: _mediator(version) for version in VERSIONS}


@dataclass(frozen=True, slots=True)
class Grant:
    """The mediator agrees. `routing_dids` are its own: what a sender wraps for."""

    routing_dids: tuple[Did, ...]

    def to_body(self, version: Version) -> dict[str, Any]:
        """The message body. Version 2.0 names one DID, 3.0 a list. Raises LocalProtocolError."""
        routing_did = list(self.routing_dids) if version == "3.0" else self.routing_dids[0]
        return fields.sendable(Grant.from_body, {"routing_did": routing_did})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body; either version may hold one DID or a list. Raises MalformedMessage."""
        value = body.get("routing_did")
        items = [value] if isinstance(value, str) else fields.sequence(value, "routing_did", limits.MAX_ROUTING_DIDS)
        if not items:
            raise MalformedMessage("'routing_did' names nobody")
        return cls(tuple(fields.did(item, "routing_did") for item in items))


@dataclass(frozen=True, slots=True)
class Change:
    """A DID to be added to a keylist, or to be removed."""

    recipient_did: Did
    action: Action


@dataclass(frozen=True, slots=True)
class Update:
    """Changes of a keylist, in their order."""

    changes: tuple[Change, ...]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        updates = [{"recipient_did": change.recipient_did, "action": change.action} for change in self.changes]
        return fields.sendable(Update.from_body, {"updates": updates})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        items = fields.sequence(body.get("updates"), "updates", limits.MAX_KEYLIST)
        return cls(tuple(_change(fields.mapping(item, "updates")) for item in items))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change: `success`, `no_change` (it was so already), or whose fault it is that it is not."""

    change: Change
    result: Result

    @property
    def holds(self) -> bool:
        """Whether the keylist is now as the change wanted it."""
        return self.result in ("success", "no_change")


@dataclass(frozen=True, slots=True)
class UpdateResponse:
    """What became of each change."""

    outcomes: tuple[Outcome, ...]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        updated = [
            {"recipient_did": one.change.recipient_did, "action": one.change.action, "result": one.result}
            for one in self.outcomes
        ]
        return fields.sendable(UpdateResponse.from_body, {"updated": updated})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        items = fields.sequence(body.get("updated"), "updated", limits.MAX_KEYLIST)
        return cls(tuple(_outcome(fields.mapping(item, "updated")) for item in items))


@dataclass(frozen=True, slots=True)
class Query:
    """Asks which DIDs are registered; without `limit` for as many as the mediator gives at once."""

    limit: int | None = None
    offset: int = 0

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body = {} if self.limit is None else {"paginate": {"limit": self.limit, "offset": self.offset}}
        return fields.sendable(Query.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        if body.get("paginate") is None:
            return cls()
        page = fields.mapping(body["paginate"], "paginate")
        return cls(fields.integer(page.get("limit"), "limit", 1), fields.integer(page.get("offset"), "offset", 0))


@dataclass(frozen=True, slots=True)
class Keylist:
    """The registered DIDs from `offset` on; `remaining` follow behind them."""

    dids: tuple[Did, ...]
    offset: int = 0
    remaining: int = 0

    def to_body(self, version: Version) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body = {
            _ITEMS[version]: [{"recipient_did": did} for did in self.dids],
            "pagination": {"count": len(self.dids), "offset": self.offset, "remaining": self.remaining},
        }
        return fields.sendable(lambda built: Keylist.from_body(built, version), body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any], version: Version) -> Self:
        """Read a message body. Raises MalformedMessage."""
        items = fields.sequence(body.get(_ITEMS[version]), _ITEMS[version], limits.MAX_KEYLIST_PAGE)
        page = fields.mapping(body.get("pagination") or {"offset": 0, "remaining": 0}, "pagination")
        return cls(
            dids=tuple(
                fields.did(fields.mapping(item, _ITEMS[version]).get("recipient_did"), "recipient_did")
                for item in items
            ),
            offset=fields.integer(page.get("offset"), "offset", 0),
            remaining=fields.integer(page.get("remaining"), "remaining", 0),
        )


@dataclass(frozen=True, slots=True)
class Denied:
    """The mediator does not agree: it says so, or reports a problem."""


@dataclass(frozen=True, slots=True)
class NotUpdated:
    """The mediator reports a problem in place of what was asked for; the state is as before the question."""


Answer = Grant | Denied | NotUpdated | UpdateResponse | Keylist


@dataclass(frozen=True, slots=True)
class Client:
    """One who lets a mediator take its messages. `state` and `routing_dids` are all that there is to keep."""

    version: Version
    state: str = "none"
    routing_dids: tuple[Did, ...] = ()

    def request(self) -> tuple["Client", Reply]:
        """Ask for mediation."""
        return self._sent(Reply(REQUEST[self.version], return_route="all"))

    def update(self, *, add: Iterable[Did] = (), remove: Iterable[Did] = ()) -> tuple["Client", Reply]:
        """Change which DIDs the mediator takes messages for. Raises LocalProtocolError over `limits.MAX_KEYLIST`."""
        changes = (*(Change(did, "add") for did in add), *(Change(did, "remove") for did in remove))
        return self._sent(Reply(UPDATE[self.version], Update(changes).to_body(), return_route="all"))

    def query(self, *, limit: int | None = None, offset: int = 0) -> tuple["Client", Reply]:
        """Ask which DIDs the mediator takes messages for."""
        return self._sent(Reply(QUERY[self.version], Query(limit, offset).to_body(), return_route="all"))

    def receive(self, message: Message) -> tuple["Client", Answer]:
        """Take what the mediator answers. Raises UnexpectedMessage or MalformedMessage and changes nothing."""
        table = RECIPIENT[self.version]
        state = table.received(self.state, message)
        following = replace(self, state=state)
        match message.type:
            case kind if kind == GRANT[self.version]:
                grant = Grant.from_body(message.body)
                return replace(following, routing_dids=grant.routing_dids), grant
            case kind if kind == UPDATE_RESPONSE[self.version]:
                return following, UpdateResponse.from_body(message.body)
            case kind if kind == KEYLIST[self.version]:
                return following, Keylist.from_body(message.body, self.version)
            case _:
                return following, Denied() if state == "denied" else NotUpdated()

    def gave_up(self) -> "Client":
        """No answer came in time: back to where the question was put, to put it again."""
        return replace(self, state=RECIPIENT[self.version].after(self.state, "deadline passed"))

    def _sent(self, reply: Reply) -> tuple["Client", Reply]:
        return replace(self, state=RECIPIENT[self.version].sent(self.state, reply.type)), reply


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands with a mediator: all that the mediator keeps about it."""

    state: str = "none"
    keylist: tuple[Did, ...] = ()


def answer(
    standing: Standing,
    message: Message,
    *,
    grants: bool,
    routing_dids: Sequence[Did],
    allows: Callable[[Did], bool],
) -> tuple[Standing, Reply]:
    """What a mediator answers to one of MEDIATOR_TYPES, and how the client stands then.

    `grants` is whether this client may have mediation, `allows` whether it may register a DID: its own, and none that
    is another client's. The keylist is as long as `limits.MAX_KEYLIST`. Raises UnexpectedMessage (nothing was granted
    before) or MalformedMessage.
    """
    version = _VERSION_OF.get(message.type.rpartition("/")[0])
    if version is None:
        raise UnexpectedMessage("not a message of coordinate-mediation 2.0 or 3.0")
    table = MEDIATOR[version]
    state = table.received(standing.state, message)
    keylist = standing.keylist
    if message.type == REQUEST[version]:
        granted = Reply(GRANT[version], Grant(tuple(routing_dids)).to_body(version))
        reply = granted if grants else Reply(DENY[version])
        keylist = keylist if grants else ()
    elif message.type == UPDATE[version]:
        keylist, outcomes = _apply(keylist, Update.from_body(message.body), allows)
        reply = Reply(UPDATE_RESPONSE[version], UpdateResponse(outcomes).to_body())
    else:
        page = _page(keylist, Query.from_body(message.body))
        reply = Reply(KEYLIST[version], page.to_body(version))
    return Standing(table.sent(state, reply.type), keylist), reply


def _apply(
    keylist: tuple[Did, ...], update: Update, allows: Callable[[Did], bool]
) -> tuple[tuple[Did, ...], tuple[Outcome, ...]]:
    outcomes = []
    for change in update.changes:
        did, listed = change.recipient_did, change.recipient_did in keylist
        result: Result = "success"
        if listed == (change.action == "add"):
            result = "no_change"
        elif listed:
            keylist = tuple(other for other in keylist if other != did)
        elif len(keylist) < limits.MAX_KEYLIST and allows(did):
            keylist = (*keylist, did)
        else:
            result = "client_error"
        outcomes.append(Outcome(change, result))
    return keylist, tuple(outcomes)


def _page(keylist: tuple[Did, ...], query: Query) -> Keylist:
    end = len(keylist) if query.limit is None else query.offset + query.limit
    return Keylist(keylist[query.offset : end], query.offset, max(0, len(keylist) - end))


def _change(item: Mapping[str, object]) -> Change:
    action = item.get("action")
    if action != "add" and action != "remove":
        raise MalformedMessage("'action' is neither add nor remove")
    return Change(fields.did(item.get("recipient_did"), "recipient_did"), action)


def _outcome(item: Mapping[str, object]) -> Outcome:
    result = next((known for known in _RESULTS if known == item.get("result")), None)
    if result is None:
        raise MalformedMessage(f"'result' is none of {', '.join(_RESULTS)}")
    return Outcome(_change(item), result)
