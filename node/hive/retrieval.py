"""Which bullets of a playbook a goal is given: those that fit it, have done well, and for which there is room.

A bullet's score is its likeness to the goal, weighed by what was counted of it and by how new it is. Likeness decides
first: a bullet that is not about the goal stays out, however well it did elsewhere. Pure but for the embedder.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from identity.did import Did
from node.hive.routing import asked_by
from node.inference.embedder import Embedder
from protocols.playbook.merge import Bullet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_LIKENESS: Final = 0.20
"""Cosine of a goal and a bullet from which the bullet can be given (measured by `scripts/bench recall`)."""

MAX_BULLETS: Final = 8
"""Bullets given to one goal, whatever room there is: a model follows few rules at once."""

BYTES_PER_TOKEN: Final = 4
"""What a token of English has, about: enough to share out room, and it needs no model to be loaded. In bytes, so that a
text in rare letters, each of which costs several tokens, takes no more than a few times its room."""

MOST_OF_ONE_AUTHOR: Final = 5
"""Counts of one author that matter for a bullet: nobody makes a bullet good, or bad, by saying so often."""

LEAST_USEFULNESS: Final = 0.2
"""A bullet that is expected to be of no more use than this is given no longer: three harmful counts and no helpful
one, or nine and one."""

RECENT_HEIGHTS: Final = 200
"""A bullet this many revisions old weighs half as much for its age as a new one."""

AGE_WEIGHT: Final = 0.2
"""How much age can take from a score: it decides between bullets that fit about equally well."""

MAX_OFFERED: Final = 20_000
"""Bullets that are compared with one goal, and vectors that are kept: 20 MB at 256 dimensions."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """A bullet for a goal, with what its score was made of."""

    bullet: Bullet
    score: float
    likeness: float


class Retrieval:
    """Finds the bullets that fit. Thread-safe; it keeps the vectors of bullets, whose text never changes."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def fitting(
        self, goal: str, bullets: Sequence[Bullet], *, ages: Sequence[int], tokens: int, trusted: Collection[Did] = ()
    ) -> tuple[Fitting, ...]:
        """The bullets for a goal, best first: at most MAX_BULLETS, of about `tokens` tokens together.

        `ages` are how many revisions high the playbook has grown since each. Counts of `trusted` authors matter twice.
        A bullet that says whom to ask is no rule for an answer, and left out. Embeds what is not embedded yet: call it
        in a thread.
        """
        offered = _offered([each for each in zip(bullets, ages, strict=True) if asked_by(each[0]) is None])
        if not offered:
            return ()
        likeness = self._likeness(goal, [bullet for bullet, _ in offered])
        found = []
        for (bullet, age), alike in zip(offered, likeness, strict=True):
            useful = usefulness(bullet, trusted)
            if alike >= MIN_LIKENESS and useful > LEAST_USEFULNESS:
                fresh = 1 - AGE_WEIGHT * age / (age + RECENT_HEIGHTS)
                found.append(Fitting(bullet, alike * (0.5 + useful) * fresh, alike))
        found.sort(key=lambda fitting: (-fitting.score, fitting.bullet.id))
        return tuple(_with_room(found, tokens))

    def _likeness(self, goal: str, bullets: Sequence[Bullet]) -> list[float]:
        import numpy as np

        with self._lock:
            if len(self._vectors) > MAX_OFFERED:
                present = {bullet.id for bullet in bullets}
                self._vectors = {key: vector for key, vector in self._vectors.items() if key in present}
            missing = [bullet for bullet in bullets if bullet.id not in self._vectors]
            vectors = self._embedder.embed([goal, *(bullet.text for bullet in missing)])
            self._vectors.update(zip((bullet.id for bullet in missing), vectors[1:], strict=True))
            matrix = np.stack([self._vectors[bullet.id] for bullet in bullets])
        return [float(cosine) for cosine in matrix @ vectors[0]]


def _offered(bullets: Sequence[tuple[Bullet, int]]) -> Sequence[tuple[Bullet, int]]:
    """MAX_OFFERED of them at the most: the newest of each author in turn, so that nobody drives out another's."""
    if len(bullets) <= MAX_OFFERED:
        return bullets
    turns: Counter[Did] = Counter()
    ranked = []
    for bullet, age in sorted(bullets, key=lambda each: (each[1], each[0].id)):
        turns[bullet.author] += 1
        ranked.append((turns[bullet.author], age, bullet))
    ranked.sort(key=lambda each: each[:2])
    return [(bullet, age) for _, age, bullet in ranked[:MAX_OFFERED]]


def usefulness(bullet: Bullet, trusted: Collection[Did] = ()) -> float:
    """What is to be expected of a bullet, from 0 to 1; one half where nothing was counted (Laplace's rule)."""
    good = bad = 0
    for author, (helpful, harmful) in bullet.counts.items():
        weight = 2 if author in trusted else 1
        good += weight * min(helpful, MOST_OF_ONE_AUTHOR)
        bad += weight * min(harmful, MOST_OF_ONE_AUTHOR)
    return (good + 1) / (good + bad + 2)


def _with_room(ranked: Iterable[Fitting], tokens: int) -> list[Fitting]:
    """The best for which there is room; a long one that does not fit leaves its place to those behind it."""
    chosen: list[Fitting] = []
    for fitting in ranked:
        cost = len(fitting.bullet.text.encode()) // BYTES_PER_TOKEN + 1
        if cost <= tokens:
            chosen.append(fitting)
            tokens -= cost
        if len(chosen) == MAX_BULLETS:
            break
    return chosen
