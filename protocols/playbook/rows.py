"""A playbook's content as rows of short lists, for snapshots: what is in effect, by whom, and every revision's CID.

`rows_of` writes them, in an order that the content fixes; `view_of` reads them again as a provisional playbook. Each
row is bounded, so that any number of them can be cut into blocks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_DAG_JOSE
from protocols import fields, limits
from protocols.errors import MalformedMessage
from protocols.playbook.links import link
from protocols.playbook.merge import Playbook
from protocols.playbook.ops import Add, Op, Set, Template, Tool, Value, new_ops, read_op
from protocols.playbook.persistent import PersistentMap
from protocols.playbook.state import (
    Added,
    BulletState,
    ExactTotal,
    Stamp,
    State,
    Written,
    new_bullets,
    new_metrics,
    new_revisions,
    new_settings,
    new_written,
)

T = TypeVar("T")

KINDS: Final = ("bullets", "counts", "metrics", "revisions", "settings", "templates", "tools")

MAX_SUM: Final = 1e30
"""What a metric may have come to: MAX_METRIC_SUM a thousand million million times."""


def rows_of(playbook: Playbook) -> Iterator[tuple[str, list[object]]]:
    """Each row with its kind. The revisions come last: whoever reads from the front has something to show."""
    state = playbook.state
    for bullet in sorted(playbook.bullets, key=lambda bullet: bullet.id):
        added = state.bullets[bullet.id].added
        assert added is not None
        yield "bullets", [added.section, added.text, list(added.tags), added.author, bytes(added.revision), added.index]
        for author, (helpful, harmful) in sorted(bullet.counts.items()):
            yield "counts", [bullet.id, author, helpful, harmful]
    yield from _written_rows("settings", state.settings)
    yield from _written_rows("tools", state.tools)
    yield from _written_rows("templates", state.templates)
    for name, total in playbook.metrics.items():
        yield "metrics", [name, total.sum, total.count]
    for cid, height in sorted(playbook.revisions.entries(), key=lambda entry: (entry[1], entry[0])):
        yield "revisions", [bytes(cid), height]


def _written_rows(kind: str, known: PersistentMap[str, Written[T]]) -> Iterator[tuple[str, list[object]]]:
    for key, written in sorted(known.entries(), key=lambda entry: entry[0]):
        if written.value is not None or kind == "settings":
            stamp = written.stamp
            yield kind, [key, written.value, stamp.author, bytes(stamp.revision), stamp.index]


def view_of(name: str, heads: frozenset[Cid], tables: Mapping[str, Sequence[object]]) -> Playbook:
    """The provisional playbook with these rows. Raises RemoteProtocolError."""
    revisions = new_revisions()
    for row in tables["revisions"]:
        target, height = _columns(row, 2)
        revisions = revisions.set(link(target, "revisions", CODEC_DAG_JOSE), fields.integer(height, "height", 1))
    if not all(head in revisions for head in heads):
        raise MalformedMessage("a head is not among the revisions")
    reader = _Reader(revisions)
    state = State(
        bullets=reader.bullets(tables["bullets"], tables["counts"]),
        settings=reader.written(new_settings(), tables["settings"], "set", ("key", "value"), _set_value),
        tools=reader.written(new_written(), tables["tools"], "tool", ("name", "meta"), _tool_meta),
        templates=reader.written(new_written(), tables["templates"], "template", ("name", "body"), _template_body),
        metrics=_metrics(tables["metrics"]),
    )
    height = max((height for _, height in revisions.entries()), default=0)
    return Playbook(name, heads, height, provisional=True, revisions=revisions, state=state)


class _Reader:
    """Reads what names a revision, which must be among those that the snapshot names."""

    def __init__(self, revisions: PersistentMap[Cid, int]) -> None:
        self._revisions = revisions

    def bullets(self, rows: Sequence[object], counts: Sequence[object]) -> PersistentMap[str, BulletState]:
        """The bullets with their counters."""
        added: dict[str, Added] = {}
        for row in rows:
            section, text, tags, author, target, index = _columns(row, 6)
            writer, revision, height, place = self._source(author, target, index)
            body = {"op": "add", "section": section, "text": text, "tags": tags}
            (op,) = new_ops([body], author=writer, height=height, first_index=place)
            assert isinstance(op, Add)
            if op.id in added:
                raise MalformedMessage("a bullet stands twice in a snapshot")
            added[op.id] = Added(op.section, op.text, op.tags, writer, revision, height, place)
        counted: dict[str, dict[Did, tuple[int, int]]] = {key: {} for key in added}
        for row in counts:
            key, author, helpful, harmful = _columns(row, 4)
            if not isinstance(key, str) or key not in counted:
                raise MalformedMessage("a snapshot counts a bullet that it does not hold")
            number = fields.integer(helpful, "helpful", 0), fields.integer(harmful, "harmful", 0)
            counted[key][_author(author)] = number
        bullets = new_bullets()
        for key, addition in added.items():
            bullets = bullets.set(key, BulletState(addition, False, counted[key]))
        return bullets

    def written(
        self,
        known: PersistentMap[str, Written[T]],
        rows: Sequence[object],
        kind: str,
        names: tuple[str, str],
        value_of: Callable[[Op], T | None],
    ) -> PersistentMap[str, Written[T]]:
        """The settings, tools or templates, read as the operations that wrote them."""
        for row in rows:
            key, value, author, target, index = _columns(row, 5)
            writer, revision, height, place = self._source(author, target, index)
            body = {"op": kind, names[0]: key, names[1]: value}
            found = value_of(read_op(body, author=writer, height=height, index=place))
            if not isinstance(key, str) or key in known or (found is None and kind != "set"):
                raise MalformedMessage("a snapshot holds something twice, or nothing")
            known = known.set(key, Written(Stamp(height, writer, revision, place), found))
        return known

    def _source(self, author: object, target: object, index: object) -> tuple[Did, Cid, int, int]:
        revision = link(target, "revision", CODEC_DAG_JOSE)
        height = self._revisions.get(revision)
        if height is None:
            raise MalformedMessage("a snapshot holds what none of its revisions wrote")
        return _author(author), revision, height, fields.integer(index, "index", 0, limits.MAX_OPS - 1)


def _set_value(op: Op) -> Value | None:
    return op.value if isinstance(op, Set) else None


def _tool_meta(op: Op) -> Mapping[str, Value] | None:
    return op.meta if isinstance(op, Tool) else None


def _template_body(op: Op) -> Value | None:
    return op.body if isinstance(op, Template) else None


def _metrics(rows: Sequence[object]) -> PersistentMap[str, ExactTotal]:
    known = new_metrics()
    for row in rows:
        name, total, count = _columns(row, 3)
        key = fields.line(name, "name", limits.MAX_KEY_SEGMENT_CHARS)
        if key in known:
            raise MalformedMessage("a metric stands twice in a snapshot")
        known = known.set(
            key, ExactTotal().with_more(fields.finite(total, "sum", MAX_SUM), fields.integer(count, "count", 1))
        )
    return known


def _author(value: object) -> Did:
    return Did(fields.line(value, "author", limits.MAX_KID_CHARS))


def _columns(row: object, count: int) -> list[object]:
    columns = fields.sequence(row, "row", count)
    if len(columns) != count:
        raise MalformedMessage(f"a row of a snapshot does not have {count} columns")
    return columns
