"""The empty message 1.0: headers and nothing else (DIDComm v2.1, "The Empty Message"). It carries acknowledgements."""

from typing import Final

from protocols.conversations.machine import one_way
from protocols.conversations.reply import Reply
from protocols.message import EMPTY, Message

__all__ = ["EMPTY", "RECEIVER", "SENDER", "URI", "acknowledge", "is_acknowledgement"]

URI: Final = "https://didcomm.org/empty/1.0"

SENDER, RECEIVER = one_way("empty 1.0", URI, "empty")


def acknowledge(*message_ids: str) -> Reply:
    """Confirms that these messages arrived, oldest first. It asks for no acknowledgement itself: that would not end."""
    return Reply(EMPTY, ack=message_ids)


def is_acknowledgement(message: Message) -> bool:
    """Whether the message does nothing but confirm: it is never to be confirmed itself."""
    return message.type == EMPTY and bool(message.ack)
