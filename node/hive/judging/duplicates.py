"""Bullets that say the same, in one section of one playbook, shown as one.

That two say the same is decided once, when the later of them comes into effect, and kept as a pair; a pair does not
depend on which came first. The playbook itself is untouched: everybody's `state_hash` stays the same. A group of
bullets is shown by the one that stands for it, with the counters of all.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from identity.did import Did
from node.hive.judging.alike import MIN_LIKENESS, says_the_same
from node.hive.judging.errors import NotDuplicates
from node.inference.embedder import Embedder
from protocols import limits
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.state import Counts
from storage.duplicates import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PAIRS_OF_ONE: Final = 16
"""Pairs that are kept of one new bullet, the likest: enough that a group holds together."""

MAX_TRIED_OF_ONE: Final = 64
"""Bullets whose words are compared with those of one new bullet, the likest. An author can write thousands of texts
that are nearly alike and say another number each; each would be compared with all others otherwise."""

_FIRST_ROWS: Final = 256
_AT_ONCE: Final = 256
"""Bullets compared in one multiplication: with 50,000 others it fills 51 MB."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A bullet as it is shown and given to goals: with the counters of all that say the same."""

    bullet: Bullet
    same: tuple[Bullet, ...] = ()


class Duplicates:
    """Finds pairs. Keeps the vectors of the bullets that were in effect; thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._shelves: dict[str, dict[str, _Section]] = {}
        self._lock = threading.Lock()

    async def pairs(self, playbook: Playbook, added: Sequence[Bullet], *, keep: bool, among: bool = True) -> list[Pair]:
        """The pairs of `added` with the bullets in effect of their section, and with `among` with each other.

        `keep`: they come into effect themselves, and are compared with from now on. A playbook that has more bullets
        than are compared gets no further pairs.
        """
        return await asyncio.to_thread(self._pairs, playbook, added, keep, among) if added else []

    def _pairs(self, playbook: Playbook, added: Sequence[Bullet], keep: bool, among: bool) -> list[Pair]:
        with self._lock:
            sections = self._sections(playbook)
            found: dict[tuple[str, str], Pair] = {}
            by_section: dict[str, list[Bullet]] = {}
            for bullet in added:
                by_section.setdefault(bullet.section, []).append(bullet)
            for name, bullets in by_section.items():
                if sum(map(len, sections.values())) + len(bullets) > limits.MAX_BULLETS_COMPARED:
                    continue
                vectors = self._embedder.embed([bullet.text for bullet in bullets])
                section, here = sections.get(name), []
                if keep:
                    section = sections.setdefault(name, _Section(self._embedder.dimensions))
                    section.add(bullets, vectors)
                elif among:
                    here.append(_Section(self._embedder.dimensions))
                    here[0].add(bullets, vectors)
                if section is not None:
                    here.append(section)
                new = {bullet.id: bullet for bullet in bullets}
                for each in here:
                    found.update(((pair.a, pair.b), pair) for pair in each.alike(playbook, new, vectors))
            return list(found.values())

    def _sections(self, playbook: Playbook) -> dict[str, _Section]:
        """The vectors of a playbook; at its first use those of all bullets in effect are made."""
        known = self._shelves.get(playbook.name)
        if known is None:
            known = self._shelves[playbook.name] = {}
            for bullet in playbook.bullets[: limits.MAX_BULLETS_COMPARED]:
                section = known.setdefault(bullet.section, _Section(self._embedder.dimensions))
                section.bullets.append(bullet)
            for section in known.values():
                bullets, section.bullets = section.bullets, []
                section.add(bullets, self._embedder.embed([bullet.text for bullet in bullets]))
        return known


class _Section:
    """The bullets of one section with their vectors, in a matrix that grows by doubling."""

    def __init__(self, dimensions: int) -> None:
        import numpy as np

        self.bullets: list[Bullet] = []
        self._rows: dict[str, int] = {}
        self._matrix: NDArray[np.float32] = np.zeros((_FIRST_ROWS, dimensions), np.float32)

    def __len__(self) -> int:
        return len(self.bullets)

    def add(self, bullets: Sequence[Bullet], vectors: NDArray[np.float32]) -> None:
        import numpy as np

        new = [n for n, bullet in enumerate(bullets) if bullet.id not in self._rows]
        end = len(self.bullets) + len(new)
        if end > len(self._matrix):
            grown = np.zeros((max(end, 2 * len(self._matrix)), self._matrix.shape[1]), np.float32)
            grown[: len(self.bullets)] = self._matrix[: len(self.bullets)]
            self._matrix = grown
        self._matrix[len(self.bullets) : end] = vectors[new]
        for n in new:
            self._rows[bullets[n].id] = len(self.bullets)
            self.bullets.append(bullets[n])

    def alike(self, playbook: Playbook, among: Mapping[str, Bullet], vectors: NDArray[np.float32]) -> Iterable[Pair]:
        """The pairs of the new bullets `among`, whose vectors these are, with those here that are in effect.

        Those of `among` count as in effect.
        """
        import numpy as np

        bullets = list(among.values())
        held = self._matrix[: len(self.bullets)]
        for start in range(0, len(bullets), _AT_ONCE):
            scores = vectors[start : start + _AT_ONCE] @ held.T
            for row, bullet in enumerate(bullets[start : start + _AT_ONCE]):
                likely = (scores[row] >= MIN_LIKENESS).nonzero()[0]
                if len(likely) > MAX_TRIED_OF_ONE:
                    likely = likely[np.argpartition(-scores[row][likely], MAX_TRIED_OF_ONE)[:MAX_TRIED_OF_ONE]]
                ranked = sorted(((float(scores[row, n]), self.bullets[n]) for n in likely.tolist()), key=_likest)
                kept = 0
                for likeness, other in ranked:
                    if kept == MAX_PAIRS_OF_ONE:
                        break
                    present = other.id in among or playbook.bullet(other.id) is not None
                    if other.id != bullet.id and present and says_the_same(bullet.text, other.text, likeness):
                        low, high = sorted((bullet.id, other.id))
                        kept += 1
                        yield Pair(low, high, round(min(likeness, 1.0), 4))


def _likest(scored: tuple[float, Bullet]) -> tuple[float, str]:
    return -scored[0], scored[1].id


def lessons(playbook: Playbook, pairs: Iterable[Pair], distance: Callable[[Did], int]) -> tuple[Lesson, ...]:
    """The bullets in effect with those that say the same put together, in the order of the playbook.

    The one that stands for a group is of the author at the least `distance` from the owner, and of these the oldest: so
    no near-copy takes the place of what the owner's own twin wrote, and no stranger's of what named ones did, however
    low a height it claims. It has the counters of all.
    """
    groups = _groups(pairs, {bullet.id for bullet in playbook.bullets})
    if not groups:
        return tuple(Lesson(bullet) for bullet in playbook.bullets)
    members: dict[str, list[Bullet]] = {}
    for bullet in playbook.bullets:
        members.setdefault(groups.get(bullet.id, bullet.id), []).append(bullet)

    def rank(bullet: Bullet) -> tuple[int, int, str]:
        return distance(bullet.author), playbook.revisions[bullet.revision], bullet.id

    shown = {}
    for group in members.values():
        first, *others = sorted(group, key=rank)
        shown[first.id] = Lesson(_with_all_counts(first, others), tuple(others))
    return tuple(shown[bullet.id] for bullet in playbook.bullets if bullet.id in shown)


def leaving(shown: Sequence[Lesson], a: str, b: str) -> list[tuple[str, str]]:
    """The pairs to split so that `a` and `b` are no longer shown as one: the one that does not stand for the group
    leaves it. Raises NotDuplicates."""
    for lesson in shown:
        group = [lesson.bullet.id, *(bullet.id for bullet in lesson.same)]
        if a in group and b in group and a != b:
            gone = a if b == lesson.bullet.id else b
            return [(gone, other) for other in group if other != gone]
    raise NotDuplicates(f"the bullets {a} and {b} are not shown as one")


def _groups(pairs: Iterable[Pair], present: Collection[str]) -> dict[str, str]:
    """For each bullet that is in a group, the group's name: the components of the pairs that are not split."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for pair in pairs:
        if not pair.split and pair.a in present and pair.b in present:
            low, high = sorted((root(pair.a), root(pair.b)))
            parent[high] = low
    return {key: root(key) for key in parent}


def _with_all_counts(first: Bullet, others: Sequence[Bullet]) -> Bullet:
    if not others:
        return first
    total: dict[Did, tuple[int, int]] = {}
    counts: Counts
    for counts in (bullet.counts for bullet in (first, *others)):
        for author, (helpful, harmful) in counts.items():
            before = total.get(author, (0, 0))
            total[author] = (before[0] + helpful, before[1] + harmful)
    return replace(
        first,
        helpful=first.helpful + sum(bullet.helpful for bullet in others),
        harmful=first.harmful + sum(bullet.harmful for bullet in others),
        counts=total,
    )
