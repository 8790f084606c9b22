"""What a gossiped message of a known type must hold, and which message replaces which.

Of each (kind, author, subject) only the newest message is kept, handed on and caught up.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from protocols.errors import MalformedMessage
from protocols.fleet import RESUME, Order
from protocols.message import Message
from protocols.playbook.messages import GATE_RESULT, PLAYBOOK_UPDATE, GateNotice, Update
from protocols.succession import SUCCESSION, SuccessionNotice
from protocols.swarm import SHUTDOWN, TASK_BROADCAST, TWIN_OFFLINE, TWIN_ONLINE, TaskBroadcast, TwinOnline

MAX_SUBJECT_CHARS: Final = 256
"""A playbook's name has at most 64 characters and a task's id is a message id; longer values name nothing of ours."""

_SUBJECT_MEMBER: Final = {PLAYBOOK_UPDATE: "playbook", GATE_RESULT: "revision", TASK_BROADCAST: "id", SUCCESSION: "id"}

_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    TWIN_ONLINE: TwinOnline.from_body,
    PLAYBOOK_UPDATE: Update.from_body,
    GATE_RESULT: GateNotice.from_body,
    TASK_BROADCAST: TaskBroadcast.from_body,
    SUCCESSION: SuccessionNotice.from_body,
    SHUTDOWN: Order.from_body,
    RESUME: Order.from_body,
}

_KIND: Final = {TWIN_OFFLINE: TWIN_ONLINE, RESUME: SHUTDOWN}
"""What replaces a message of another type: of a twin's coming and going, and of its orders to stop and to go on, the
newer is true."""


def check_body(message: Message) -> None:
    """Refuse a body that its type does not allow; types that are unknown here may hold anything.

    Raises RemoteProtocolError. What was refused is not kept, so it is never read again or served to others.
    """
    if message.created_time is None:
        raise MalformedMessage("a public message says when it was made: it can be replayed for ever if it does not")
    if reader := _READERS.get(message.type):
        reader(message.body)


def slot_of(message: Message) -> tuple[str, str]:
    """Kind and subject of a message: a newer one of its author with the same replaces it.

    The kind is the type, or the type that it replaces. The subject is empty where an author has one thing to say of
    this kind.
    """
    kind = _KIND.get(message.type, message.type)
    subject = message.body.get(_SUBJECT_MEMBER.get(message.type, ""))
    return kind, subject[:MAX_SUBJECT_CHARS] if isinstance(subject, str) else ""
