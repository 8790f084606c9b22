"""Basic message 2.0: a text from one person to another (https://didcomm.org/basicmessage/2.0). Nothing is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields, limits
from protocols.conversations.machine import one_way

URI: Final = "https://didcomm.org/basicmessage/2.0"
MESSAGE: Final = f"{URI}/message"

SENDER, RECEIVER = one_way("basicmessage 2.0", URI, "message")


@dataclass(frozen=True, slots=True)
class BasicMessage:
    """What a person wrote."""

    content: str

    def to_body(self) -> dict[str, Any]:
        """The message body, control characters left out. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(BasicMessage.from_body, {"content": fields.clean(self.content)})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body; what other software lets people type is cleaned as ours is. Raises MalformedMessage."""
        content = body.get("content")
        if isinstance(content, str) and len(content) <= limits.MAX_CHAT_BYTES:
            content = fields.clean(content)
        return cls(fields.text(content, "content", limits.MAX_CHAT_BYTES))
