"""Gossip about playbooks: a twin says which heads it has, and what its checks of a revision showed.

The blocks of revisions and snapshots are fetched by CID. A gate result is short: the message holds both its blocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from identity.cid import Cid
from identity.errors import MalformedCid, MalformedMultibase
from identity.multibase import CODEC_DAG_JOSE, base64url, from_base64url
from protocols import fields, limits
from protocols.errors import MalformedMessage
from protocols.playbook.gate import SignedGateResult, verify_gate_result
from protocols.playbook.revision import parse_name

PLAYBOOK_UPDATE: Final = "https://pagi.ai/playbook/1.0/update"
GATE_RESULT: Final = "https://pagi.ai/playbook/1.0/gate-result"

_TOPIC_PREFIX: Final = "pagi-playbook-v1/"
_CID_CHARS: Final = 64
"""A base32 CIDv1 of a dag-jose block has 61 characters."""


def topic_of(name: str) -> str:
    """The gossip topic of a playbook."""
    return _TOPIC_PREFIX + name


@dataclass(frozen=True, slots=True)
class Update:
    """The sender's heads of one playbook after it adopted something new, and a snapshot of it for newcomers."""

    playbook: str
    heads: tuple[Cid, ...]
    snapshot: Cid | None = None

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receivers would refuse it."""
        body: dict[str, Any] = {"playbook": self.playbook, "heads": [str(head) for head in self.heads]}
        if self.snapshot is not None:
            body["snapshot"] = str(self.snapshot)
        return fields.sendable(Update.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        heads = fields.lines(body.get("heads"), "heads", limits.MAX_PARENTS, _CID_CHARS)
        snapshot = body.get("snapshot")
        if not heads:
            raise MalformedMessage("'heads' names no dag-jose block")
        return cls(
            playbook=parse_name(body.get("playbook")),
            heads=tuple(_signed_block(head, "heads") for head in heads),
            snapshot=None if snapshot is None else _signed_block(snapshot, "snapshot"),
        )


@dataclass(frozen=True, slots=True)
class GateNotice:
    """A signed gate result, for whoever weighs the word of its author."""

    signed: SignedGateResult

    def to_body(self) -> dict[str, Any]:
        """The message body."""
        result = self.signed.result
        return {
            "playbook": result.playbook,
            "revision": str(result.revision),
            "envelope": base64url(self.signed.envelope_block),
            "payload": base64url(self.signed.payload_block),
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read and verify a message body. Raises RemoteProtocolError."""
        signed = verify_gate_result(
            _bytes(body.get("envelope"), "envelope", limits.MAX_ENVELOPE_BYTES),
            _bytes(body.get("payload"), "payload", limits.MAX_GATE_RESULT_BYTES),
        )
        if (body.get("playbook"), body.get("revision")) != (signed.result.playbook, str(signed.result.revision)):
            raise MalformedMessage("the gate result is about another revision than the message says")
        return cls(signed)


def _signed_block(value: object, name: str) -> Cid:
    """The CID of a dag-jose block."""
    try:
        cid = Cid.parse(fields.line(value, name, _CID_CHARS))
    except MalformedCid as error:
        raise MalformedMessage(f"{name!r} holds what is not a CID") from error
    if cid.codec != CODEC_DAG_JOSE:
        raise MalformedMessage(f"{name!r} names no dag-jose block")
    return cid


def _bytes(value: object, name: str, max_bytes: int) -> bytes:
    """Bytes in base64url."""
    try:
        return from_base64url(fields.line(value, name, -(-max_bytes * 4 // 3)))
    except MalformedMultibase as error:
        raise MalformedMessage(f"{name!r} is not base64url") from error
