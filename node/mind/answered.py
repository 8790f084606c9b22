"""What the swarm answered lately: the same question is not asked again, but answered with what came then.

The same question is one that is as good as equal in meaning and has the same words, in whatever order: likeness alone
takes one kiln for another, and words alone do not. An answer counts for a while, and only as long as the owner names
who gave it. It was given to this twin, so it is for the owner alone: another twin is never told of it.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from typing import Final

import orjson

from identity.did import Did
from node.clock import NowMs, now_ms
from node.inference.embedder import Embedder
from node.mind.actions import Asked, AskTwin, Candidate
from node.trust import TrustList
from protocols.task import Answer
from storage import answered as rows
from storage.answered import AnsweredRow
from storage.database import Database
from storage.trust import Trust

MIN_LIKENESS: Final = 0.95
"""Cosine of two questions that may be the same."""

TTL_S: Final = 6 * 3600
"""How long an answer counts: within a day things change, within a conversation they do not."""

MAX_KEPT: Final = 1_000
"""Answers kept: 1 MB of vectors, and compared in a millisecond."""

MAX_QUESTION_CHARS: Final = 2_000
"""What is longer carries a text of its own, and no likeness tells two such texts apart."""

_WORD: Final = re.compile(r"[^\W_]+(?:[.,:/-][^\W_]+)*|[-+]\d+")
_POLITE: Final = frozenset(["a", "an", "the", "please", "kindly", "can", "could", "would", "you", "tell", "me"])
"""Words that make no difference. All others do: a negation, who or when, a unit, a number."""


class Answered:
    """The answers that came lately. `ttl_s`, which may change, is how long one counts."""

    def __init__(
        self, *, database: Database, embedder: Embedder, trust: TrustList, ttl_s: int = TTL_S, now: NowMs = now_ms
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._trust = trust
        self.ttl_s = ttl_s
        self._now = now
        trust.on_change(self._forget_unnamed)

    async def lookup(self, action: AskTwin) -> Asked | None:
        """What a named twin answered to this question lately, by its own name; None if nothing."""
        question = action.question
        if len(question) > MAX_QUESTION_CHARS:
            return None
        since = self._now() - self.ttl_s * 1000
        found = await self._database.read(lambda conn: rows.since(conn, since, self._embedder.model_id))
        words = distinguishing(question)
        same = [row for row in found if self._trust.allows(row.did) and distinguishing(row.question) == words]
        if not same:
            return None
        known = await asyncio.to_thread(self._nearest, question, same)
        if known is None:
            return None
        did, answer = known
        candidate = action.candidate if did == action.candidate.did else Candidate(did, did, (), 0.0)
        return Asked(candidate, answer, reused=True)

    async def keep(self, asked: Asked, question: str) -> None:
        """Keep what a twin answered, if it helped, is named, and is not itself such a kept answer."""
        did, answer = asked.candidate.did, asked.answer
        if answer is None or not asked.helped or asked.reused or not self._trust.allows(did):
            return
        if len(question) > MAX_QUESTION_CHARS:
            return
        vector = (await asyncio.to_thread(self._embedder.embed, [question]))[0]
        body, now = orjson.dumps(answer.to_body()), self._now()

        def store(conn: sqlite3.Connection) -> None:
            rows.forget_before(conn, now - self.ttl_s * 1000)
            rows.put(
                conn,
                question=question,
                model_id=self._embedder.model_id,
                vector=vector.tobytes(),
                answer=body,
                did=did,
                kept_ms=now,
                most=MAX_KEPT,
            )

        await self._database.write(store)

    async def _forget_unnamed(self, trust: Trust) -> None:
        """Whoever the owner no longer names, or blocks: nothing that came from them stays."""
        named = trust.allow - trust.block
        await self._database.write(lambda conn: rows.forget_all_but(conn, named))

    def _nearest(self, question: str, same: list[AnsweredRow]) -> tuple[Did, Answer] | None:
        import numpy as np

        vectors = np.stack([np.frombuffer(row.vector, np.float32) for row in same])
        likeness = vectors @ self._embedder.embed([question])[0]
        best = int(np.argmax(likeness))  # of equal ones the newest: they come in that order
        if likeness[best] < MIN_LIKENESS:
            return None
        return same[best].did, Answer.from_body(orjson.loads(same[best].answer))


def distinguishing(question: str) -> frozenset[str]:
    """The words and numbers that make a question another one. Capitals count in short words: US is not us."""
    words = (word if len(word) <= 3 and word.isupper() else word.casefold() for word in _WORD.findall(question))
    return frozenset(word for word in words if word not in _POLITE)
