"""Trust ping 2.0: is the other side there, and do our keys work both ways (DIDComm v2.1, "Trust Ping Protocol 2.0").

The receiver keeps no state; the sender waits for the answer in the ping's thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply
from protocols.message import Message

URI: Final = "https://didcomm.org/trust-ping/2.0"
PING: Final = f"{URI}/ping"
PING_RESPONSE: Final = f"{URI}/ping-response"

SENDER: Final = Table(
    name="trust-ping 2.0",
    role="sender",
    uri=URI,
    start="idle",
    final=frozenset({"answered", "told", "unanswered"}),
    transitions={
        ("idle", "send ping"): "waiting",
        ("idle", "send ping (no response asked)"): "told",
        ("waiting", "receive ping-response"): "answered",
        ("waiting", "receive problem-report"): "answered",
        ("waiting", "deadline passed"): "unanswered",
    },
)

RECEIVER: Final = Table(
    name="trust-ping 2.0",
    role="receiver",
    uri=URI,
    start="idle",
    final=frozenset({"done"}),
    transitions={
        ("idle", "receive ping"): "asked",
        ("idle", "receive ping (no response asked)"): "done",
        ("asked", "send ping-response"): "done",
    },
)


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping. Unless it says otherwise it asks for a response."""

    response_requested: bool = True

    def to_body(self) -> dict[str, Any]:
        """The message body."""
        return {"response_requested": self.response_requested}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        asked = body.get("response_requested")
        return cls(asked is None or fields.flag(asked, "response_requested"))


def respond(message: Message) -> Reply | None:
    """What to answer to a ping; None if it asks for no response. Raises MalformedMessage."""
    return Reply(PING_RESPONSE) if Ping.from_body(message.body).response_requested else None
