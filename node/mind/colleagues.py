"""Asking other twins, and answering them.

Only twins that the owner named are asked, for a goal says what its owner cares about; and only they are answered, from
what they may be told: see node/memory/privacy.py.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from identity.did import Did
from identity.errors import PagiError
from node.hive.routing import asked_by
from node.inference.embedder import Embedder
from node.memory.privacy import Leave, NobodyAsked, OtherTwin
from node.memory.recall import Recall
from node.memory.record import Recalled
from node.messaging.post_office import PostOffice
from node.mind.actions import Asked, Candidate
from node.mind.answering.answering import NO_MODEL
from node.mind.answering.telling import Telling
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
        recall: Recall,
        embedder: Embedder,
        telling: Telling,
        recall_items: int,
        leave: Leave | None = None,
        shifted: Callable[[Did], float] = lambda did: 0.0,
    ) -> None:
        """`shifted` is the share of a twin's questions that go to others first."""
        self._own = own
        self._shifted = shifted
        self._directory = directory
        self._trust = trust
        self._mail = mail
        self._recall = recall
        self._leave = leave or NobodyAsked()
        self._embedder = embedder
        self._telling = telling
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
        found.sort(key=lambda candidate: (self._is_shifted(candidate.did, goal), -candidate.score, candidate.did))
        return tuple(found)

    def _is_shifted(self, did: Did, goal: str) -> bool:
        """Whether this question goes to others first. Drawn by the goal, so that a resumed job asks the same twin."""
        share = self._shifted(did)
        drawn = hashlib.sha256(f"{did} {goal}".encode()).digest()
        return share > 0 and int.from_bytes(drawn[:8], "big") / 2**64 < share

    async def ask(
        self, candidate: Candidate, question: str, timeout_s: float, *, message_id: str | None = None
    ) -> Asked:
        """Ask one twin and wait for its answer; that it gave none is a result, not an error.

        With the same `message_id` again, after a crash, it is the same question.
        """
        if not self._trust.allows(candidate.did):
            return Asked(candidate, None, None, "the owner no longer names it")
        try:
            reply = await self._mail.request(
                candidate.did, ASK, Ask(question).to_body(), timeout_s=timeout_s, message_id=message_id
            )
            if reply.type != ANSWER:
                return Asked(candidate, None, reply.thread, f"it replied with {reply.type}")
            return Asked(candidate, Answer.from_body(reply.body), reply.thread)
        except PagiError as error:
            return Asked(candidate, None, None, str(error))

    async def confidence(self, question: str, asker: Did) -> float:
        """How near what we may tell that twin comes to answering this, from 0 (nothing answers it) to 1.

        Raises WorkStopped.
        """
        self._telling.check()
        return _confidence((await self._notes(question, asker))[0])

    async def answer(self, question: str, asker: Did) -> Answer:
        """What we may tell that twin about this. Empty if we know nothing that it may be told. Raises WorkStopped."""
        self._telling.check()
        notes, approved = await self._notes(question, asker)
        written = await self._telling.tell(question, asker, notes, approved=approved) if notes else None
        if written is None:
            return Answer(answer="", sources=(), confidence=0.0, model=NO_MODEL, degraded=False)
        return Answer(
            answer=written.text,
            sources=tuple(Source(note.id, note.content, note.score) for note in notes[: limits.MAX_SOURCES]),
            confidence=_confidence(notes),
            model=written.model,
            degraded=written.degraded,
        )

    async def _answer(self, sender: Did, message: Message) -> Sequence[Reply]:
        answer = await self.answer(Ask.from_body(message.body).question, sender)
        logger.info("answered %s from %d memories", sender, len(answer.sources))
        return (Reply(ANSWER, answer.to_body()),)

    async def _notes(self, question: str, asker: Did) -> tuple[list[Recalled], bool]:
        """What answers it and may be told, and whether the owner approved more than is told at once."""
        audience = OtherTwin(asker)
        approved = await self._leave.given(asker, question)
        found = await self._recall.recall(question, k=self._recall_items, audience=audience, approved=approved)
        if not approved:
            held_back = await self._recall.left_out(question, audience, k=self._recall_items)
            if any(supports(question, memory) for memory in held_back):
                await self._leave.left_out(asker, question)
        return await self._telling.may_leave([one for one in found if supports(question, one)]), approved


def _confidence(notes: Sequence[Recalled]) -> float:
    return round(min(1.0, max(0.0, *(note.score for note in notes))), 4) if notes else 0.0
