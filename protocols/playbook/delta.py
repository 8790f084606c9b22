"""From a file to operations: what a revision must say so that a playbook becomes what a file wants.

- A bullet is known by its `id`, or by section and text. One that was changed is removed and added anew. Without a
  `[[bullets]]` list in the file all bullets stay. Counters are by author and cannot be set by a file.
- A metric is a mean, and cannot be set either: one that differs becomes one observation of the file's value.
- A setting, a tool or a template that is not in the file is taken out. `version` is the height, and ignored.

With a `base`, the file as it was when it was looked at last, only what changed from it to the file counts: what others
wrote into the playbook meanwhile stays, and what they took out stays out. A base of nothing only ever adds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from protocols import dag_cbor, limits
from protocols.errors import TooLarge
from protocols.playbook.file import FileBullet, PlaybookFile, leaves
from protocols.playbook.keys import split_key
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.ops import Value
from protocols.playbook.toml import without_name

ApiOp: TypeAlias = dict[str, Any]
"""An operation as `new_ops` and the owner's API take it."""

NOTHING: Final = PlaybookFile(bullets=())
"""As a base: the file adds and changes, and takes nothing out."""

_MISSING: Final = object()
_REVISION_ROOM_BYTES: Final = limits.MAX_REVISION_BYTES - 16 * 1024
"""For a revision's operations: parents, critique and evidence take the rest."""

_REVISION_ROOM_ITEMS: Final = limits.MAX_CBOR_ITEMS - 2048
_OP_OVERHEAD_BYTES: Final = 40
"""The id of a bullet, which the operation does not have yet."""


def delta(current: Playbook, wanted: PlaybookFile, *, base: PlaybookFile | None = None) -> list[ApiOp]:
    """The operations that make `current` say what `wanted` says; none if it does. Raises TooLarge."""
    ops = [
        *_settings(current, wanted, base),
        *_named(current.tools, wanted.tools, None if base is None else base.tools, "tool", "meta"),
        *_named(current.templates, wanted.templates, None if base is None else base.templates, "template", "body"),
        *_metrics(current, wanted, base),
        *_bullets(current, wanted, base),
    ]
    if len(ops) > limits.MAX_FILE_OPS:
        raise TooLarge(f"the file changes {len(ops)} things; at most {limits.MAX_FILE_OPS} are taken at once")
    return ops


def batches(ops: Sequence[ApiOp]) -> Iterator[list[ApiOp]]:
    """The operations in order, cut into as many as fit into one revision each."""
    batch: list[ApiOp] = []
    size_bytes = items = 0
    for op in ops:
        op_bytes, op_items = len(dag_cbor.encode(op)) + _OP_OVERHEAD_BYTES, _items(op)
        full = len(batch) == limits.MAX_OPS or size_bytes + op_bytes > _REVISION_ROOM_BYTES
        if batch and (full or items + op_items > _REVISION_ROOM_ITEMS):
            yield batch
            batch, size_bytes, items = [], 0, 0
        batch.append(op)
        size_bytes += op_bytes
        items += op_items
    if batch:
        yield batch


def _settings(current: Playbook, wanted: PlaybookFile, base: PlaybookFile | None) -> Iterator[ApiOp]:
    """Settings are compared as values at their places: a table in the file may be one setting here, or several."""
    covered: set[tuple[str, ...]] = set()
    for key, value in current.settings.items():
        path = split_key(key)
        found = _at(wanted.settings, path)
        table_for_value = isinstance(found, Mapping) and not isinstance(value, Mapping)
        if found is not _MISSING and not table_for_value:
            covered.add(path)
        if found is _MISSING and key == "instructions" and value == "":
            continue
        if _same(found, value) or not _changed(base, path, found):
            continue
        yield {"op": "set", "key": key, "value": None if found is _MISSING or table_for_value else found}
    for key, wish in leaves(wanted.settings):
        path = split_key(key)
        if any(path[:length] in covered for length in range(1, len(path) + 1)) or not _changed(base, path, wish):
            continue
        if (key, wish) != ("instructions", ""):
            yield {"op": "set", "key": key, "value": wish}


def _named(
    current: Mapping[str, Value],
    wanted: Mapping[str, Value],
    base: Mapping[str, Value] | None,
    kind: str,
    member: str,
) -> Iterator[ApiOp]:
    """Tools or templates."""
    for name in sorted(current.keys() | wanted.keys()):
        old, new = current.get(name, _MISSING), wanted.get(name, _MISSING)
        if kind == "tool" and isinstance(old, Mapping):
            old = without_name(old)
        if not _same(old, new) and (base is None or not _same(base.get(name, _MISSING), new)):
            yield {"op": kind, "name": name, member: None if new is _MISSING else new}


def _metrics(current: Playbook, wanted: PlaybookFile, base: PlaybookFile | None) -> Iterator[ApiOp]:
    for name, value in wanted.metrics.items():
        total = current.metrics.get(name)
        known = total is not None and total.mean == value
        if not known and (base is None or base.metrics.get(name) != value):
            yield {"op": "metric", "name": name, "sum": value, "count": 1}


def _bullets(current: Playbook, wanted: PlaybookFile, base: PlaybookFile | None) -> Iterator[ApiOp]:
    if wanted.bullets is None:
        return
    by_content = {(bullet.section, bullet.text): bullet for bullet in current.bullets}
    was = _Listed(base.bullets or ()) if base is not None else None
    kept: set[str] = set()
    added: dict[tuple[str, str], ApiOp] = {}
    for bullet in wanted.bullets:
        known = current.bullet(bullet.id) if bullet.id is not None else None
        known = known or by_content.get((bullet.section, bullet.text))
        if known is not None:
            kept.add(known.id)
            if _says(bullet, known) or (was is not None and was.unchanged(bullet)):
                continue
            yield {"op": "remove", "id": known.id}
        elif was is not None and was.lists(bullet.id, bullet.section, bullet.text):
            continue  # taken out here since the file was looked at last
        tags = list(known.tags if bullet.tags is None and known is not None else bullet.tags or ())
        added[bullet.section, bullet.text] = {"op": "add", "section": bullet.section, "text": bullet.text, "tags": tags}
    for listed in current.bullets:
        if listed.id not in kept and (was is None or was.lists(listed.id, listed.section, listed.text)):
            yield {"op": "remove", "id": listed.id}
    yield from added.values()


class _Listed:
    """The bullets of the base, by id and by content."""

    def __init__(self, bullets: Sequence[FileBullet]) -> None:
        self._by_id = {bullet.id: bullet for bullet in bullets if bullet.id is not None}
        self._by_content = {(bullet.section, bullet.text): bullet for bullet in bullets}

    def lists(self, key: str | None, section: str, text: str) -> bool:
        return key in self._by_id or (section, text) in self._by_content

    def unchanged(self, bullet: FileBullet) -> bool:
        """Whether the base has this very bullet."""
        old = self._by_id.get(bullet.id) if bullet.id is not None else None
        old = old or self._by_content.get((bullet.section, bullet.text))
        return old is not None and (old.section, old.text, old.tags) == (bullet.section, bullet.text, bullet.tags)


def _says(bullet: FileBullet, known: Bullet) -> bool:
    """Whether a bullet of the file is what it is in the playbook."""
    same = (bullet.section, bullet.text) == (known.section, known.text)
    return same and (bullet.tags is None or bullet.tags == known.tags)


def _changed(base: PlaybookFile | None, path: tuple[str, ...], found: object) -> bool:
    return base is None or not _same(_at(base.settings, path), found)


def _at(tables: object, path: tuple[str, ...]) -> object:
    for part in path:
        if not isinstance(tables, Mapping) or part not in tables:
            return _MISSING
        tables = tables[part]
    return tables


def _same(a: object, b: object) -> bool:
    """Whether two values are the same with their types: `1`, `1.0` and `true` are not."""
    if a is _MISSING or b is _MISSING:
        return a is b
    return dag_cbor.encode(a) == dag_cbor.encode(b)


def _items(value: object) -> int:
    if isinstance(value, Mapping):
        return 1 + sum(1 + _items(item) for item in value.values())
    return 1 + sum(map(_items, value)) if isinstance(value, list) else 1
