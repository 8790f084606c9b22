"""Asking other twins, and answering them.

Only twins that the owner named are asked, for a goal says what its owner cares about; and only they are answered,
from the namespace `shared` alone.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from identity.did import Did
from identity.errors import PagiError
from node.hive.routing import asked_by
from node.inference.embedder import Embedder
from node.memory.memory import Memory
from node.memory.record import SHARED, Recalled
from node.messaging.post_office import PostOffice
from node.mind.actions import Asked, Candidate
from node.mind.answering import NO_MODEL, Writer
from node.mind.relevance import MIN_TOPIC_LIKENESS, supports, topic_likeness
from node.swarm import Directory
from node.trust import TrustList
from protocols import limits
from protocols.conversations.reply import Reply
from protocols.message import Message
from protocols.playbook.merge import Bullet
from protocols.task import ANSWER, ASK, Answer, Ask, Source

logger = logging.getLogger(__name__)

BULLET_BONUS: Final = 0.1
"""What one adopted routing bullet adds to a twin's score; three net helpful counts add as much again."""


class Colleagues:
    """The other twins, as sources of answers."""

    def __init__(
        self,
        *,
        own: Did,
        directory: Directory,
        trust: TrustList,
        mail: PostOffice,
        memory: Memory,
        embedder: Embedder,
        writer: Writer,
        recall_items: int,
    ) -> None:
        self._own = own
        self._directory = directory
        self._trust = trust
        self._mail = mail
        self._memory = memory
        self._embedder = embedder
        self._writer = writer
        self._recall_items = recall_items
        mail.handle(ASK, self._answer)

    async def candidates(self, goal: str, bullets: Sequence[Bullet]) -> tuple[Candidate, ...]:
        """The named twins that are online and advertise topics like the goal, best first."""
        twins = [
            twin
            for twin in await self._directory.twins()
            if twin.did != self._own and twin.online and twin.topics and self._trust.allows(twin.did)
        ]
        if not twins:
            return ()
        likeness = await asyncio.to_thread(topic_likeness, self._embedder, goal, [twin.topics for twin in twins])
        advice = {did: bullet for bullet in bullets if (did := asked_by(bullet)) is not None}
        found = []
        for twin, score in zip(twins, likeness, strict=True):
            bullet = advice.get(twin.did)
            if score < MIN_TOPIC_LIKENESS:
                continue
            if bullet is not None:
                score += BULLET_BONUS * (1 + max(-3, min(3, bullet.helpful - bullet.harmful)) / 3)
            found.append(Candidate(twin.did, twin.name, twin.topics, round(score, 3), bullet.id if bullet else None))
        return tuple(sorted(found, key=lambda candidate: (-candidate.score, candidate.did)))

    async def ask(self, candidate: Candidate, question: str, timeout_s: float) -> Asked:
        """Ask one twin and wait for its answer; that it gave none is a result, not an error."""
        if not self._trust.allows(candidate.did):
            return Asked(candidate, None, None, "the owner no longer names it")
        try:
            reply = await self._mail.request(candidate.did, ASK, Ask(question).to_body(), timeout_s=timeout_s)
            if reply.type != ANSWER:
                return Asked(candidate, None, reply.thread, f"it replied with {reply.type}")
            return Asked(candidate, Answer.from_body(reply.body), reply.thread)
        except PagiError as error:
            return Asked(candidate, None, None, str(error))

    async def confidence(self, question: str) -> float:
        """How near what we may tell comes to answering this, from 0 (nothing answers it) to 1."""
        return _confidence(await self._notes(question))

    async def answer(self, question: str) -> Answer:
        """What we may tell another twin about this: from the namespace `shared` alone. Empty if we know nothing."""
        notes = await self._notes(question)
        if not notes:
            return Answer(answer="", sources=(), confidence=0.0, model=NO_MODEL, degraded=False)
        written = await self._writer.write(question, [note.content for note in notes])
        return Answer(
            answer=written.text,
            sources=tuple(Source(note.id, note.content, note.score) for note in notes[: limits.MAX_SOURCES]),
            confidence=_confidence(notes),
            model=written.model,
            degraded=written.degraded,
        )

    async def _answer(self, sender: Did, message: Message) -> Sequence[Reply]:
        answer = await self.answer(Ask.from_body(message.body).question)
        logger.info("answered %s from %d shared memories", sender, len(answer.sources))
        return (Reply(ANSWER, answer.to_body()),)

    async def _notes(self, question: str) -> list[Recalled]:
        found = await self._memory.search(question, k=self._recall_items, namespaces=(SHARED,))
        return [memory for memory in found if supports(question, memory)]


def _confidence(notes: Sequence[Recalled]) -> float:
    return round(min(1.0, max(0.0, notes[0].score)), 4) if notes else 0.0
