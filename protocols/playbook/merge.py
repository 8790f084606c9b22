"""Playbook merge: a join-semilattice over signed revisions.

Pure: no clock, no storage, no network. Everything that decides a conflict is in this file.

A playbook's state is a function of the *set* of revisions that were applied, so their order and repetition do not
matter and joining two playbooks is joining two sets. The function is kept up to date revision by revision:

- A bullet is there if a revision adds it and none removes it: a removal wins for ever, also when it comes first.
- Two additions of one id (one author, the same place and text, other tags): the revision with the smaller CID.
- Counters are sums over the revisions. A metric's sum is exact, so that no order of additions rounds differently.
- A setting and a tool belong to their last writer: by height, then author, then CID, then place in the revision.
- Heads are the applied revisions that no applied revision names as a parent.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Generic, TypeAlias, TypeVar, assert_never

from identity.cid import Cid
from identity.did import Did
from protocols import dag_cbor
from protocols.errors import LocalProtocolError
from protocols.limits import MAX_PARENTS
from protocols.playbook.ops import Add, Harmful, Helpful, Metric, Remove, Set, Tool, Value
from protocols.playbook.persistent import PersistentMap
from protocols.playbook.revision import Revision, SignedRevision

T = TypeVar("T")

_Stamp: TypeAlias = tuple[int, Did, Cid, int]
"""Who wrote last: height, author, revision, place of the operation. No two writes have the same."""

_EXACT_SHIFT: Final = 1074
"""Every finite float is a multiple of 2^-1074 (IEEE 754 binary64), so sums in that unit are whole numbers."""


@dataclass(frozen=True, slots=True)
class Bullet:
    """A bullet in effect. `revision` is the one that added it, `author` that one's author."""

    id: str
    section: str
    text: str
    tags: tuple[str, ...]
    helpful: int
    harmful: int
    author: Did
    revision: Cid


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
class _BulletState:
    """What is known of one bullet id, whatever arrived first."""

    added: tuple[Cid, Did, Add] | None = None
    removed: bool = False
    helpful: int = 0
    harmful: int = 0


@dataclass(frozen=True, slots=True)
class _Written(Generic[T]):
    stamp: _Stamp
    value: T


@dataclass(frozen=True, slots=True)
class _ExactTotal:
    sum_units: int = 0
    count: int = 0


@dataclass(frozen=True, eq=False)
class Playbook:
    """An immutable playbook: the join of the revisions that were applied to it.

    `height` is the highest of them, 0 if there is none. Playbooks of the same name and revisions are equal.
    """

    name: str
    heads: frozenset[Cid] = frozenset()
    height: int = 0
    revisions: PersistentMap[Cid, Revision] = field(default_factory=PersistentMap, repr=False)
    _parents: PersistentMap[Cid, None] = field(default_factory=PersistentMap, repr=False)
    _bullets: PersistentMap[str, _BulletState] = field(default_factory=PersistentMap, repr=False)
    _settings: PersistentMap[str, _Written[Value | None]] = field(default_factory=PersistentMap, repr=False)
    _tools: PersistentMap[str, _Written[Mapping[str, Value] | None]] = field(default_factory=PersistentMap, repr=False)
    _metrics: PersistentMap[str, _ExactTotal] = field(default_factory=PersistentMap, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Playbook):
            return NotImplemented
        return self.name == other.name and self.revisions.keys() == other.revisions.keys()

    def __hash__(self) -> int:
        return hash((self.name, self.heads, self.height))

    @cached_property
    def bullets(self) -> tuple[Bullet, ...]:
        """The bullets in effect, by section, then oldest first (by height), then id."""
        shown = [
            Bullet(key, add.section, add.text, add.tags, state.helpful, state.harmful, author, cid)
            for key, state in self._bullets.items()
            if state.added is not None and not state.removed
            for cid, author, add in (state.added,)
        ]
        return tuple(
            sorted(shown, key=lambda bullet: (bullet.section, self.revisions[bullet.revision].height, bullet.id))
        )

    @cached_property
    def settings(self) -> Mapping[str, Value]:
        """The settings in effect by their dotted key, sorted."""
        return {key: written.value for key, written in sorted(self._settings.items()) if written.value is not None}

    @cached_property
    def tools(self) -> Mapping[str, Mapping[str, Value]]:
        """The registered tools by name, sorted."""
        return {name: written.value for name, written in sorted(self._tools.items()) if written.value is not None}

    @cached_property
    def metrics(self) -> Mapping[str, MetricTotal]:
        """The metrics by name, sorted."""
        return {
            name: MetricTotal(total.sum_units / (1 << _EXACT_SHIFT), total.count)
            for name, total in sorted(self._metrics.items())
        }

    @property
    def next_parents(self) -> tuple[Cid, ...]:
        """The parents of a revision that is made on top of this: its heads, or the highest of them if they are many.

        With these parents the height of that revision is `height + 1`.
        """
        highest = sorted(self.heads, key=lambda cid: (-self.revisions[cid].height, cid))
        return tuple(sorted(highest[:MAX_PARENTS]))

    @cached_property
    def state_hash(self) -> str:
        """Sha2-256, in hex, of the canonical dag-cbor of everything in effect and of the set of applied revisions."""
        bullets = sorted(self.bullets, key=lambda bullet: bullet.id)
        state = {
            "v": 1,
            "playbook": self.name,
            "bullets": [
                [b.id, b.section, b.text, list(b.tags), b.helpful, b.harmful, b.author, bytes(b.revision)]
                for b in bullets
            ],
            "settings": self.settings,
            "tools": self.tools,
            "metrics": {name: [total.sum, total.count] for name, total in self.metrics.items()},
            "revisions": [bytes(cid) for cid in sorted(self.revisions)],
        }
        return hashlib.sha256(dag_cbor.encode(state)).hexdigest()


def EMPTY(name: str) -> Playbook:  # noqa: N802 - reads as the constant that it is, one for each name
    """The playbook to which nothing was applied: the neutral element of `join`."""
    return Playbook(name)


def apply(playbook: Playbook, signed: SignedRevision) -> Playbook:
    """The playbook with one more revision; the same playbook if it has this one already.

    Costs about as much as the revision is long, whatever the playbook holds. Raises LocalProtocolError if the revision
    is of another playbook.
    """
    return _apply(playbook, signed.cid, signed.revision)


def join(a: Playbook, b: Playbook) -> Playbook:
    """The playbook with the revisions of both. Raises LocalProtocolError if they are not of one name."""
    if a.name != b.name:
        raise LocalProtocolError(f"the playbooks {a.name!r} and {b.name!r} cannot be joined")
    if len(a.revisions) < len(b.revisions):
        a, b = b, a
    for cid, revision in b.revisions.items():
        a = _apply(a, cid, revision)
    return a


def from_revisions(name: str, revisions: Iterable[SignedRevision]) -> Playbook:
    """The playbook with these revisions, in any order."""
    playbook = EMPTY(name)
    for signed in revisions:
        playbook = apply(playbook, signed)
    return playbook


def _apply(playbook: Playbook, cid: Cid, revision: Revision) -> Playbook:
    if revision.playbook != playbook.name:
        raise LocalProtocolError(f"a revision of {revision.playbook!r} does not belong to {playbook.name!r}")
    if cid in playbook.revisions:
        return playbook
    bullets, settings = playbook._bullets, playbook._settings
    tools, metrics, parents = playbook._tools, playbook._metrics, playbook._parents
    for index, op in enumerate(revision.ops):
        stamp = (revision.height, revision.author, cid, index)
        match op:
            case Add() | Remove() | Helpful() | Harmful():
                bullets = bullets.set(op.id, _touched(bullets.get(op.id, _BulletState()), op, cid, revision.author))
            case Set():
                settings = settings.set(op.key, _last(settings.get(op.key), _Written(stamp, op.value)))
            case Tool():
                tools = tools.set(op.name, _last(tools.get(op.name), _Written(stamp, op.meta)))
            case Metric():
                metrics = metrics.set(op.name, _added(metrics.get(op.name, _ExactTotal()), op))
            case _:
                assert_never(op)
    for parent in revision.parents:
        parents = parents.set(parent, None)
    heads = playbook.heads.difference(revision.parents)
    return Playbook(
        name=playbook.name,
        heads=heads if cid in parents else heads | {cid},
        height=max(playbook.height, revision.height),
        revisions=playbook.revisions.set(cid, revision),
        _parents=parents,
        _bullets=bullets,
        _settings=settings,
        _tools=tools,
        _metrics=metrics,
    )


def _touched(state: _BulletState, op: Add | Remove | Helpful | Harmful, cid: Cid, author: Did) -> _BulletState:
    match op:
        case Add():
            if state.added is None or cid < state.added[0]:
                return replace(state, added=(cid, author, op))
            return state
        case Remove():
            return replace(state, removed=True)
        case Helpful():
            return replace(state, helpful=state.helpful + op.n)
        case Harmful():
            return replace(state, harmful=state.harmful + op.n)
        case _:
            assert_never(op)


def _last(old: _Written[T] | None, new: _Written[T]) -> _Written[T]:
    return new if old is None or new.stamp > old.stamp else old


def _added(total: _ExactTotal, op: Metric) -> _ExactTotal:
    numerator, denominator = op.sum.as_integer_ratio()
    units = numerator << (_EXACT_SHIFT - (denominator.bit_length() - 1))
    return _ExactTotal(total.sum_units + units, total.count + op.count)
