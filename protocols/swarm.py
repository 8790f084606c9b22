"""Swarm coordination: the public, signed messages by which twins find each other.

They are gossiped on one topic. The `from` of the signed message is the twin's identity; nothing in a body repeats it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields, limits

TOPIC: Final = "pagi-swarm-coordination-v1"

TWIN_ONLINE: Final = "https://pagi.ai/swarm/1.0/twin-online"
TWIN_OFFLINE: Final = "https://pagi.ai/swarm/1.0/twin-offline"
TASK_BROADCAST: Final = "https://pagi.ai/swarm/1.0/task-broadcast"
SHUTDOWN: Final = "https://pagi.ai/swarm/1.0/shutdown"


@dataclass(frozen=True, slots=True)
class TwinOnline:
    """A twin says that it is there, where, and what it can be asked about.

    `name` is what its owner calls it: a claim, not an identity. `addresses` are multiaddrs with `/p2p/…`.
    `capabilities` are kinds of work (`research`), `topics` are subjects, `version` is the program's.
    """

    name: str
    addresses: tuple[str, ...]
    capabilities: tuple[str, ...]
    topics: tuple[str, ...]
    version: str

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receivers would refuse it."""
        body: dict[str, Any] = {
            "name": self.name,
            "addresses": list(self.addresses),
            "capabilities": list(self.capabilities),
            "topics": list(self.topics),
            "version": self.version,
        }
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
        )
