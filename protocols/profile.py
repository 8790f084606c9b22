"""A twin's profile: what its IPNS name stands for. A dag-cbor block that links to the heads of its playbooks.

    {v: 1, did, name, capabilities: [text], playbooks: {name: [CID]}, updated}

`updated` is when its content last changed, in milliseconds since 1970. Members that nobody knows are ignored. It is as
true as the IPNS record that names it: whoever reads it compares `did` with the name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from identity.cid import Cid
from identity.did import Did
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_CBOR
from protocols import dag_cbor, fields, limits
from protocols.errors import MalformedMessage
from protocols.playbook.revision import parse_name

VERSION: Final = 1

_DEPTH: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a twin says of itself to everybody."""

    did: Did
    name: str
    capabilities: tuple[str, ...]
    playbooks: Mapping[str, tuple[Cid, ...]]
    updated_ms: int

    def to_block(self) -> tuple[Cid, bytes]:
        """The block and its CID. Raises LocalProtocolError if it is out of bounds."""
        block = dag_cbor.encode(
            {
                "v": VERSION,
                "did": self.did,
                "name": self.name,
                "capabilities": list(self.capabilities),
                "playbooks": {name: [bytes(head) for head in heads] for name, heads in self.playbooks.items()},
                "updated": self.updated_ms,
            }
        )
        return Cid.of(CODEC_DAG_CBOR, fields.sendable(Profile.from_block, block)), block

    @classmethod
    def from_block(cls, block: bytes) -> Self:
        """Read a profile of anybody. Raises RemoteProtocolError."""
        value = dag_cbor.decode(block, max_bytes=limits.MAX_PROFILE_BYTES, max_depth=_DEPTH)
        body = fields.mapping(value, "profile")
        if body.get("v") != VERSION:
            raise MalformedMessage("not a profile of a version that is known here")
        playbooks = fields.mapping(body.get("playbooks"), "playbooks")
        if len(playbooks) > limits.MAX_PROFILE_PLAYBOOKS:
            raise MalformedMessage("a profile with too many playbooks")
        return cls(
            did=fields.did(body.get("did"), "did"),
            name=fields.line(body.get("name"), "name", limits.MAX_TWIN_NAME_CHARS),
            capabilities=fields.lines(
                body.get("capabilities"), "capabilities", limits.MAX_CAPABILITIES, limits.MAX_CAPABILITY_CHARS
            ),
            playbooks={parse_name(name): _heads(heads) for name, heads in playbooks.items()},
            updated_ms=fields.integer(body.get("updated"), "updated", 0),
        )


def _heads(value: object) -> tuple[Cid, ...]:
    try:
        return tuple(
            Cid.from_bytes(head if isinstance(head, bytes) else b"")
            for head in fields.sequence(value, "heads", limits.MAX_PROFILE_HEADS)
        )
    except MalformedCid as error:
        raise MalformedMessage("a head in the profile is no link") from error
