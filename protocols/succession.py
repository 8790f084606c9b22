"""Succession: a twin says, to everybody and to each that knows it, by which DID it goes on.

Gossiped on the swarm's topic, signed by the old DID when it gives way and by the new one from time to time after that;
and sent as a private message by the new DID, with `from_prior`. What counts is the credential inside, which both keys
signed: whoever brings it adds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from protocols import fields, limits
from protocols.errors import MalformedMessage

SUCCESSION: Final = "https://pagi.ai/swarm/1.0/succession"


@dataclass(frozen=True, slots=True)
class SuccessionNotice:
    """The credential as it came; `id` is its own, so that of one author one message of each is kept."""

    id: str
    credential: Mapping[str, object]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receivers would refuse it."""
        return fields.sendable(SuccessionNotice.from_body, {"id": self.id, "credential": dict(self.credential)})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body; the credential is not verified. Raises MalformedMessage."""
        identifier = fields.line(body.get("id"), "id", limits.MAX_ID_CHARS)
        credential = fields.mapping(body.get("credential"), "credential")
        if credential.get("id") != identifier:
            raise MalformedMessage("'id' is not that of the credential")
        if len(orjson.dumps(credential)) > limits.MAX_SUCCESSION_BYTES:
            raise MalformedMessage(f"'credential' has more than {limits.MAX_SUCCESSION_BYTES} bytes")
        return cls(identifier, credential)
