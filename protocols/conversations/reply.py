"""What a conversation wants sent: a message without its sender, recipient, id and times, which the caller adds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.message import Attachment, ReturnRoute


@dataclass(frozen=True, slots=True)
class Reply:
    """A message to the one who is talked to, in the thread of the message that is answered.

    With a `pthid` it begins a thread of its own under that one, as a problem report does. `ack` and `return_route`
    are the headers of that name.
    """

    type: str
    body: Mapping[str, Any] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    pthid: str | None = None
    ack: tuple[str, ...] = ()
    return_route: ReturnRoute | None = None
