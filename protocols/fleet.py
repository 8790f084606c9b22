"""Orders of an owner to a fleet: all twins that name her key stop their work, or go on with it.

Said in public, signed by the key that orders, and in private to the twins that she named. Each order has a greater
sequence number than the one before it of the same key, so that none can be played again; the newest is repeated from
time to time for those that were away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields, limits
from protocols.swarm import SHUTDOWN

RESUME: Final = "https://pagi.ai/swarm/1.0/resume"

ORDERS: Final = (SHUTDOWN, RESUME)


@dataclass(frozen=True, slots=True)
class Order:
    """An order. `sequence` is when it was given, in milliseconds since 1970; `reason` is for people and may be empty.

    Whether it stops or lets go on is said by the message's type.
    """

    sequence: int
    reason: str = ""

    def to_body(self) -> dict[str, Any]:
        """The message body, control characters left out. Raises LocalProtocolError if the receivers would refuse it."""
        reason = " ".join(fields.clean(self.reason).split())[: limits.MAX_ORDER_REASON_CHARS]
        return fields.sendable(Order.from_body, {"sequence": self.sequence, "reason": reason})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(
            sequence=fields.integer(body.get("sequence"), "sequence", 1),
            reason=fields.line(body.get("reason", ""), "reason", limits.MAX_ORDER_REASON_CHARS, min_chars=0),
        )
