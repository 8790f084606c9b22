"""Which gossip message replaces which: of each (type, author, subject) only the newest is kept and caught up."""

from typing import Final

from protocols.message import Message
from protocols.playbook.messages import PLAYBOOK_UPDATE
from protocols.swarm import TASK_BROADCAST

MAX_SUBJECT_CHARS: Final = 256
"""A playbook's name has at most 64 characters and a task's id is a message id; longer values name nothing of ours."""

_SUBJECT_MEMBER: Final = {PLAYBOOK_UPDATE: "playbook", TASK_BROADCAST: "id"}


def subject_of(message: Message) -> str:
    """What a message is about, among its author's messages of the same type; empty where there is only one thing."""
    subject = message.body.get(_SUBJECT_MEMBER.get(message.type, ""))
    return subject[:MAX_SUBJECT_CHARS] if isinstance(subject, str) else ""
