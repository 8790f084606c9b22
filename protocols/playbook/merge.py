"""Playbook merge: a join-semilattice over signed revisions.

Pure: no clock, no storage, no network. Everything that decides a conflict is in this file.

A playbook's state is a function of the *set* of revisions that were applied, so their order and repetition do not
matter, and two playbooks are joined by joining their sets. The function is kept up to date revision by revision, and of
a revision no more is kept than its CID and height:

- A bullet is there if a revision adds it and none removes it: a removal wins for ever, also when it comes first.
- Two additions of one id (one author, the same place and text, other tags): the revision with the smaller CID.
- Counters are kept for each author, as sums over its revisions. A metric's sum is exact, so that no order of additions
  rounds differently.
- A setting, a tool and a template belong to their last writer: by height, then author, then CID, then place in the
  revision. Writing a setting, or taking it out, ends what was written before inside it or around it (`a` and `a.b`):
  so the settings are always tables as TOML has them.
- Heads are the applied revisions that no applied revision names as a parent.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, TypeVar, assert_never

from identity.cid import Cid
from identity.did import Did
from protocols import dag_cbor
from protocols.errors import LocalProtocolError
from protocols.limits import MAX_PARENTS
from protocols.playbook.keys import split_key
from protocols.playbook.ops import Add, Harmful, Helpful, Metric, Remove, Set, Template, Tool, Value
from protocols.playbook.persistent import PersistentMap
from protocols.playbook.revision import Revision, SignedRevision
from protocols.playbook.state import (
    Added,
    Bullet,
    BulletState,
    ExactTotal,
    MetricTotal,
    Stamp,
    State,
    Written,
    new_revisions,
)

__all__ = ["EMPTY", "Bullet", "MetricTotal", "Playbook", "apply", "from_revisions", "join"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Playbook:
    """An immutable playbook: the join of the revisions that were applied to it.

    `revisions` holds their heights; `height` is the highest of them, 0 if there is none. Playbooks of the same name and
    revisions are equal. One that is `provisional` was read out of somebody's snapshot: it can be looked at, and takes
    no revisions.
    """

    name: str
    heads: frozenset[Cid] = frozenset()
    height: int = 0
    provisional: bool = False
    revisions: PersistentMap[Cid, int] = field(default_factory=new_revisions, repr=False)
    state: State = field(default_factory=State, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Playbook):
            return NotImplemented
        return (self.name, self.provisional, len(self.revisions), self.revisions.digest) == (
            *(other.name, other.provisional, len(other.revisions), other.revisions.digest),
        )

    def __hash__(self) -> int:
        return hash((self.name, self.heads, self.height))

    @cached_property
    def bullets(self) -> tuple[Bullet, ...]:
        """The bullets in effect, by section, then oldest first (by height), then id."""
        shown = [
            (state.added.section, state.added.height, key, state)
            for key, state in self.state.bullets.entries()
            if state.added is not None and not state.removed
        ]
        shown.sort(key=lambda item: item[:3])
        return tuple(bullet for _, _, key, state in shown if (bullet := state.shown(key)) is not None)

    @cached_property
    def bullet_count(self) -> int:
        """How many bullets are in effect, without putting them in order."""
        return sum(state.added is not None and not state.removed for _, state in self.state.bullets.entries())

    def bullet(self, key: str) -> Bullet | None:
        """One bullet in effect, without putting all of them in order."""
        state = self.state.bullets.get(key)
        return None if state is None else state.shown(key)

    @cached_property
    def settings(self) -> Mapping[str, Value]:
        """The settings in effect by their dotted key, sorted."""
        taken: set[tuple[str, ...]] = set()
        around: set[tuple[str, ...]] = set()
        shown: dict[str, Value] = {}
        for key, written in sorted(self.state.settings.entries(), key=lambda entry: entry[1].stamp, reverse=True):
            path = split_key(key)
            above = [path[:length] for length in range(1, len(path))]
            if written.value is not None and path not in around and taken.isdisjoint(above):
                shown[key] = written.value
            taken.add(path)
            around.update(above)
        return dict(sorted(shown.items()))

    @cached_property
    def tools(self) -> Mapping[str, Mapping[str, Value]]:
        """The registered tools by name, sorted."""
        return {key: written.value for key, written in sorted(self.state.tools.entries()) if written.value is not None}

    @cached_property
    def templates(self) -> Mapping[str, Value]:
        """The templates by name, sorted."""
        return {
            key: written.value for key, written in sorted(self.state.templates.entries()) if written.value is not None
        }

    @cached_property
    def metrics(self) -> Mapping[str, MetricTotal]:
        """The metrics by name, sorted."""
        return {name: total.rounded() for name, total in sorted(self.state.metrics.entries())}

    @property
    def next_parents(self) -> tuple[Cid, ...]:
        """The parents of a revision that is made on top of this: its heads, or the highest of them if they are many.

        With these parents the height of that revision is `height + 1`.
        """
        highest = sorted(self.heads, key=lambda cid: (-self.revisions[cid], cid))
        return tuple(sorted(highest[:MAX_PARENTS]))

    @cached_property
    def state_hash(self) -> str:
        """Sha2-256, in hex, of everything in effect, who counted and wrote it, and the set of applied revisions.

        It is the root of a tree of hashes: after one more revision it is computed from what that one changed.
        """
        roots = {
            "bullets": self.state.bullets.digest,
            "settings": self.state.settings.digest,
            "tools": self.state.tools.digest,
            "templates": self.state.templates.digest,
            "metrics": self.state.metrics.digest,
            "revisions": self.revisions.digest,
        }
        told = {name: root.hex() for name, root in roots.items()}
        return hashlib.sha256(dag_cbor.encode({"v": 2, "playbook": self.name, **told})).hexdigest()


def EMPTY(name: str) -> Playbook:  # noqa: N802 - reads as the constant that it is, one for each name
    """The playbook to which nothing was applied: the neutral element of `join`."""
    return Playbook(name)


def apply(playbook: Playbook, signed: SignedRevision) -> Playbook:
    """The playbook with one more revision; the same playbook if it has this one already.

    Costs about as much as the revision is long, whatever the playbook holds. Raises LocalProtocolError if the revision
    is of another playbook, or the playbook provisional.
    """
    cid, revision = signed.cid, signed.revision
    if revision.playbook != playbook.name:
        raise LocalProtocolError(f"a revision of {revision.playbook!r} does not belong to {playbook.name!r}")
    if playbook.provisional:
        raise LocalProtocolError("what a snapshot shows is not merged with anything")
    if cid in playbook.revisions:
        return playbook
    state = _operated(playbook.state, cid, revision)
    heads = playbook.heads.difference(revision.parents)
    return Playbook(
        name=playbook.name,
        heads=heads if cid in state.parents else heads | {cid},
        height=max(playbook.height, revision.height),
        revisions=playbook.revisions.set(cid, revision.height),
        state=state,
    )


def join(playbook: Playbook, revisions: Iterable[SignedRevision]) -> Playbook:
    """The playbook with these revisions as well, in any order. Raises LocalProtocolError as `apply` does."""
    for signed in revisions:
        playbook = apply(playbook, signed)
    return playbook


def from_revisions(name: str, revisions: Iterable[SignedRevision]) -> Playbook:
    """The playbook with these revisions, in any order."""
    return join(EMPTY(name), revisions)


def _operated(state: State, cid: Cid, revision: Revision) -> State:
    """The state with a revision's parents and operations."""
    parents, bullets, settings = state.parents, state.bullets, state.settings
    tools, templates, metrics = state.tools, state.templates, state.metrics
    for parent in revision.parents:
        parents = parents.set(parent, None)
    for index, op in enumerate(revision.ops):
        match op:
            case Add() | Remove() | Helpful() | Harmful():
                bullets = bullets.set(op.id, _touched(bullets.get(op.id, _UNKNOWN), op, cid, revision, index))
            case Set():
                settings = _last(settings, op.key, op.value, Stamp(revision.height, revision.author, cid, index))
            case Tool():
                tools = _last(tools, op.name, op.meta, Stamp(revision.height, revision.author, cid, index))
            case Template():
                templates = _last(templates, op.name, op.body, Stamp(revision.height, revision.author, cid, index))
            case Metric():
                metrics = metrics.set(op.name, metrics.get(op.name, _NONE).with_more(op.sum, op.count))
            case _:
                assert_never(op)
    return State(parents, bullets, settings, tools, templates, metrics)


_UNKNOWN: Final = BulletState()
_NONE: Final = ExactTotal()


def _touched(
    state: BulletState, op: Add | Remove | Helpful | Harmful, cid: Cid, revision: Revision, index: int
) -> BulletState:
    match op:
        case Add():
            if state.added is None or cid < state.added.revision:
                added = Added(op.section, op.text, op.tags, revision.author, cid, revision.height, index)
                return replace(state, added=added)
            return state
        case Remove():
            return replace(state, removed=True)
        case Helpful():
            return replace(state, counts=_counted(state.counts, revision.author, op.n, 0))
        case Harmful():
            return replace(state, counts=_counted(state.counts, revision.author, 0, op.n))
        case _:
            assert_never(op)


def _counted(
    counts: Mapping[Did, tuple[int, int]], author: Did, helpful: int, harmful: int
) -> dict[Did, tuple[int, int]]:
    old = counts.get(author, (0, 0))
    return {**counts, author: (old[0] + helpful, old[1] + harmful)}


def _last(
    known: PersistentMap[str, Written[T]], key: str, value: T | None, stamp: Stamp
) -> PersistentMap[str, Written[T]]:
    old = known.get(key)
    return known if old is not None and old.stamp > stamp else known.set(key, Written(stamp, value))
