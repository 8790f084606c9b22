"""Lessons for this twin alone: what it learnt from its owner's feedback and may tell nobody.

They are memories of the namespace `mind`, and are given to goals as a playbook's bullets are; but they stand apart from
those, for what they are given to may only go to models that may see what is private.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from node.memory.memory import Memory
from node.memory.record import MIND, NewMemory
from protocols.playbook.merge import Bullet
from storage import memories as rows

LESSON: Final = "lesson"
"""The tag of such memories: others of the namespace are no rules."""

FROM_FEEDBACK: Final = "feedback"
"""Their source: what else is kept there, such as documents, may be any number."""

MAX_LESSONS: Final = 500
"""The newest are given; so many rules nobody follows."""

NOWHERE: Final = Cid.of(CODEC_RAW, b"")
"""The revision of what is in none."""


class OwnLessons:
    """The lessons as memories, and as bullets to choose from."""

    def __init__(self, memory: Memory, own: Did) -> None:
        self._memory = memory
        self._own = own

    async def bullets(self) -> Sequence[Bullet]:
        """The newest lessons, as bullets of no playbook; their ids are those of the memories."""
        page = await self._memory.database.read(
            lambda conn: rows.list_memories(
                conn, limit=MAX_LESSONS, kind="semantic", namespace=MIND, source=FROM_FEEDBACK
            )
        )
        return [self.as_bullet(row.id, row.content) for row in page.items if LESSON in row.tags and not row.merged_into]

    def as_bullet(self, bullet_id: str, text: str, revision: Cid = NOWHERE) -> Bullet:
        """A text in the form of a bullet that nobody else has. An id stands for one text for ever."""
        return Bullet(bullet_id, MIND, text, (), 0, 0, self._own, revision)

    def candidate(self, text: str, revision: Cid = NOWHERE) -> Bullet:
        """A rule that is tried, and not kept."""
        return self.as_bullet(f"candidate-{hashlib.sha256(text.encode()).hexdigest()}", text, revision)

    async def keep(self, text: str, *, also: Callable[[sqlite3.Connection], None]) -> str:
        """Keep a lesson, and in the same transaction whatever `also` writes; its id."""
        lesson = NewMemory(kind="semantic", content=text, namespace=MIND, tags=(LESSON,), source=FROM_FEEDBACK)
        return (await self._memory.add_many([lesson], also=lambda conn, seqs: also(conn)))[0]
