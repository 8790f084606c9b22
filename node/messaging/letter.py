"""One message that came in and was opened: what intake hands to whoever acts on it."""

from dataclasses import dataclass

from identity.did import Did
from node.messaging.source import LiveRoute, Source
from protocols.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message with what its envelope and its carrier prove.

    `recipient` is the DID of ours that it was written to, `packed_bytes` its size on the way, `known` whether the owner
    named the sender or it carries our mail. `back` is the way back over its own connection, None unless the sender
    takes answers there.
    """

    source: Source
    sender: Did
    recipient: Did
    message: Message
    plaintext: bytes
    packed_bytes: int
    known: bool
    back: LiveRoute | None
