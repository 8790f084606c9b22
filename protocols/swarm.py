"""Swarm coordination: the public, signed messages by which twins find each other.

They are gossiped on one topic. The `from` of the signed message is the twin's identity; nothing in a body repeats it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from identity.did import Did, parse_did
from identity.errors import MalformedDid
from protocols import fields, limits
from protocols.errors import MalformedMessage

TOPIC: Final = "pagi-swarm-coordination-v1"

TWIN_ONLINE: Final = "https://pagi.ai/swarm/1.0/twin-online"
TWIN_OFFLINE: Final = "https://pagi.ai/swarm/1.0/twin-offline"
TASK_BROADCAST: Final = "https://pagi.ai/swarm/1.0/task-broadcast"
SHUTDOWN: Final = "https://pagi.ai/swarm/1.0/shutdown"


@dataclass(frozen=True, slots=True)
class Mediator:
    """Somebody who keeps a twin's mail while it is away: forwards are encrypted for `did` and brought to one of
    `uris`, each a multiaddr with `/p2p/…` or a URL of DIDComm over HTTP or WebSocket."""

    did: Did
    uris: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in an announcement."""
        return {"did": self.did, "uris": list(self.uris)}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read it. Raises MalformedMessage."""
        entry = fields.mapping(value, "mediators")
        try:
            did = parse_did(fields.line(entry.get("did"), "did", limits.MAX_MEDIATOR_DID_CHARS))
        except MalformedDid as error:
            raise MalformedMessage("a mediator's 'did' is no DID") from error
        uris = fields.lines(entry.get("uris"), "uris", limits.MAX_MEDIATOR_URIS, limits.MAX_ADDRESS_CHARS)
        if not uris:
            raise MalformedMessage("a mediator without a place to bring mail to")
        return cls(did, uris)


@dataclass(frozen=True, slots=True)
class TwinOnline:
    """A twin says that it is there, where, and what it can be asked about.

    `name` is what its owner calls it: a claim, not an identity. `addresses` are multiaddrs with `/p2p/…`.
    `capabilities` are kinds of work (`research`), `topics` are subjects, `version` is the program's. `mediators` keep
    its mail while it is away; one that has none does not name them.
    """

    name: str
    addresses: tuple[str, ...]
    capabilities: tuple[str, ...]
    topics: tuple[str, ...]
    version: str
    mediators: tuple[Mediator, ...] = ()

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receivers would refuse it."""
        body: dict[str, Any] = {
            "name": self.name,
            "addresses": list(self.addresses),
            "capabilities": list(self.capabilities),
            "topics": list(self.topics),
            "version": self.version,
        }
        if self.mediators:
            body["mediators"] = [mediator.to_json() for mediator in self.mediators]
        return fields.sendable(TwinOnline.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(
            name=fields.line(body.get("name"), "name", limits.MAX_TWIN_NAME_CHARS),
            addresses=fields.lines(body.get("addresses"), "addresses", limits.MAX_ADDRESSES, limits.MAX_ADDRESS_CHARS),
            capabilities=fields.lines(
                body.get("capabilities"), "capabilities", limits.MAX_CAPABILITIES, limits.MAX_CAPABILITY_CHARS
            ),
            topics=fields.lines(body.get("topics"), "topics", limits.MAX_TOPICS, limits.MAX_TOPIC_CHARS),
            version=fields.line(body.get("version"), "version", limits.MAX_VERSION_CHARS),
            mediators=_mediators(body.get("mediators", [])),
        )


@dataclass(frozen=True, slots=True)
class TaskBroadcast:
    """A task for whoever can do it; the bids come back in private (`protocols.conversations.contract_net`).

    `requirements` are capabilities that a worker needs; `deadline` is when it has to be done, in seconds since 1970.
    """

    id: str
    task: str
    requirements: tuple[str, ...]
    deadline: int

    def to_body(self) -> dict[str, Any]:
        """The message body, control characters left out. Raises LocalProtocolError if the receivers would refuse it."""
        body: dict[str, Any] = {
            "id": self.id,
            "task": fields.clean(self.task),
            "requirements": list(self.requirements),
            "deadline": self.deadline,
        }
        return fields.sendable(TaskBroadcast.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(
            id=fields.line(body.get("id"), "id", limits.MAX_ID_CHARS),
            task=fields.text(body.get("task"), "task", limits.MAX_TASK_BYTES, min_bytes=1),
            requirements=fields.lines(
                body.get("requirements"), "requirements", limits.MAX_REQUIREMENTS, limits.MAX_CAPABILITY_CHARS
            ),
            deadline=fields.integer(body.get("deadline"), "deadline", 0),
        )


def fits(mediators: Sequence[Mediator]) -> bool:
    """Whether an announcement has room for these mediators, and none of them stands there twice."""
    chars = sum(len(mediator.did) + sum(map(len, mediator.uris)) for mediator in mediators)
    different = len({mediator.did for mediator in mediators}) == len(mediators)
    return different and len(mediators) <= limits.MAX_MEDIATORS and chars <= limits.MAX_MEDIATORS_CHARS


def _mediators(value: object) -> tuple[Mediator, ...]:
    entries = fields.sequence(value, "mediators", limits.MAX_MEDIATORS)
    mediators = tuple(Mediator.from_json(entry) for entry in entries)
    if not fits(mediators):
        raise MalformedMessage(f"'mediators' name one twice or have over {limits.MAX_MEDIATORS_CHARS} characters")
    return mediators
