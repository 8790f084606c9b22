"""Gossip about playbooks: a twin says which heads it has. The blocks themselves are fetched by CID."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from identity.cid import Cid
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_JOSE
from protocols import fields, limits
from protocols.errors import MalformedMessage
from protocols.playbook.revision import parse_name

PLAYBOOK_UPDATE: Final = "https://pagi.ai/playbook/1.0/update"

_TOPIC_PREFIX: Final = "pagi-playbook-v1/"
_CID_CHARS: Final = 64
"""A base32 CIDv1 of a dag-jose block has 61 characters."""


def topic_of(name: str) -> str:
    """The gossip topic of a playbook."""
    return _TOPIC_PREFIX + name


@dataclass(frozen=True, slots=True)
class Update:
    """The sender's heads of one playbook after it adopted something new."""

    playbook: str
    heads: tuple[Cid, ...]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receivers would refuse it."""
        body: dict[str, Any] = {"playbook": self.playbook, "heads": [str(head) for head in self.heads]}
        return fields.sendable(Update.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        heads = fields.lines(body.get("heads"), "heads", limits.MAX_PARENTS, _CID_CHARS)
        try:
            links = tuple(Cid.parse(head) for head in heads)
        except MalformedCid as error:
            raise MalformedMessage("'heads' holds what is not a CID") from error
        if not links or any(link.codec != CODEC_DAG_JOSE for link in links):
            raise MalformedMessage("'heads' names no dag-jose block")
        return cls(parse_name(body.get("playbook")), links)
