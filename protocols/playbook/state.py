"""What a playbook keeps of the revisions that were applied to it, and which of it counts in its `state_hash`.

Pure data; how a revision changes it is in merge.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from identity.cid import Cid
from identity.did import Did
from protocols import dag_cbor
from protocols.playbook.ops import Value
from protocols.playbook.persistent import PersistentMap, by_text

T = TypeVar("T")

Counts: TypeAlias = Mapping[Did, tuple[int, int]]
"""How often each author counted a bullet helpful and harmful. Nobody changes one in place."""

EXACT_SHIFT: Final = 1074
"""Every finite float is a multiple of 2^-1074 (IEEE 754 binary64), so sums in that unit are whole numbers."""


@dataclass(frozen=True, slots=True)
class Bullet:
    """A bullet in effect. `revision` is the one that added it, `author` that one's author.

    `helpful` and `harmful` are the sums of `counts`.
    """

    id: str
    section: str
    text: str
    tags: tuple[str, ...]
    helpful: int
    harmful: int
    author: Did
    revision: Cid
    counts: Counts = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class MetricTotal:
    """All that was reported of a metric: `sum` is the correctly rounded exact sum, over `count` observations."""

    sum: float
    count: int

    @property
    def mean(self) -> float:
        """The mean over all observations."""
        return self.sum / self.count


@dataclass(frozen=True, slots=True)
class Added:
    """The addition of a bullet, operation number `index` of its revision; in effect unless a removal is known."""

    section: str
    text: str
    tags: tuple[str, ...]
    author: Did
    revision: Cid
    height: int
    index: int


@dataclass(frozen=True, slots=True)
class BulletState:
    """What is known of one bullet id, whatever arrived first."""

    added: Added | None = None
    removed: bool = False
    counts: Counts = field(default_factory=dict)

    def shown(self, key: str) -> Bullet | None:
        """The bullet, if it is in effect."""
        if self.added is None or self.removed:
            return None
        helpful = sum(count for count, _ in self.counts.values())
        harmful = sum(count for _, count in self.counts.values())
        added = self.added
        return Bullet(
            *(key, added.section, added.text, added.tags, helpful, harmful, added.author, added.revision),
            counts=self.counts,
        )


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """Who wrote last: height, author, revision, place of the operation. No two writes have the same."""

    height: int
    author: Did
    revision: Cid
    index: int


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """What a last writer wrote; None takes it out."""

    stamp: Stamp
    value: T | None


@dataclass(frozen=True, slots=True)
class ExactTotal:
    """A metric's sum in units of 2^-1074."""

    sum_units: int = 0
    count: int = 0

    def rounded(self) -> MetricTotal:
        """The total as it is shown."""
        return MetricTotal(self.sum_units / (1 << EXACT_SHIFT), self.count)

    def with_more(self, total: float, count: int) -> "ExactTotal":
        """This with `count` further observations that add up to `total`."""
        numerator, denominator = total.as_integer_ratio()
        units = numerator << (EXACT_SHIFT - (denominator.bit_length() - 1))
        return ExactTotal(self.sum_units + units, self.count + count)


@dataclass(frozen=True, slots=True)
class State:
    """What the revisions of a playbook add up to, by bullet id, dotted key or name, in effect or not."""

    parents: PersistentMap[Cid, None] = field(default_factory=lambda: new_parents())
    bullets: PersistentMap[str, BulletState] = field(default_factory=lambda: new_bullets())
    settings: PersistentMap[str, Written[Value]] = field(default_factory=lambda: new_settings())
    tools: PersistentMap[str, Written[Mapping[str, Value]]] = field(default_factory=lambda: new_written())
    templates: PersistentMap[str, Written[Value]] = field(default_factory=lambda: new_written())
    metrics: PersistentMap[str, ExactTotal] = field(default_factory=lambda: new_metrics())


def new_revisions() -> PersistentMap[Cid, int]:
    """No revisions. Each counts by its CID."""
    return PersistentMap(_by_digest, lambda cid, height: bytes(cid))


def new_parents() -> PersistentMap[Cid, None]:
    """No parents. They follow from the revisions, so none counts."""
    return PersistentMap(_by_digest, lambda cid, nothing: None)


def new_bullets() -> PersistentMap[str, BulletState]:
    """No bullets. Those in effect count."""
    return PersistentMap(by_text, _bullet)


def new_settings() -> PersistentMap[str, Written[Value]]:
    """No settings. All count, with who wrote them: one that was taken out may hide another."""
    return PersistentMap(by_text, _any_written)


def new_written() -> PersistentMap[str, Written[T]]:
    """No tools or templates. Those with a value count, with who wrote it."""
    return PersistentMap(by_text, _written)


def new_metrics() -> PersistentMap[str, ExactTotal]:
    """No metrics. All count, as they are shown."""
    return PersistentMap(by_text, _metric)


def _by_digest(cid: Cid) -> bytes:
    return cid.digest + cid.codec.to_bytes(8)


def _bullet(key: str, state: BulletState) -> bytes | None:
    added = state.added
    if added is None or state.removed:
        return None
    counts = [[author, *count] for author, count in sorted(state.counts.items())]
    tags, link = list(added.tags), bytes(added.revision)
    return dag_cbor.encode([key, added.section, added.text, tags, added.author, link, counts])


def _written(key: str, written: Written[T]) -> bytes | None:
    return None if written.value is None else _any_written(key, written)


def _any_written(key: str, written: Written[T]) -> bytes:
    stamp = written.stamp
    return dag_cbor.encode([key, written.value, stamp.height, stamp.author, bytes(stamp.revision), stamp.index])


def _metric(name: str, total: ExactTotal) -> bytes:
    shown = total.rounded()
    return dag_cbor.encode([name, shown.sum, shown.count])
