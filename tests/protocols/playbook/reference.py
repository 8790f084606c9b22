"""The merge as it is defined, without any of what makes it quick: an oracle for tests.

Everything is computed anew from the whole set of revisions, with plain dicts, and the digest from the definition.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from identity.cid import Cid
from protocols import dag_cbor
from protocols.playbook.keys import split_key
from protocols.playbook.merge import Playbook
from protocols.playbook.ops import Add, Harmful, Helpful, Metric, Op, Remove, Set, Template, Tool
from protocols.playbook.revision import Revision, SignedRevision


def shown(playbook: Playbook) -> dict[str, Any]:
    """What can be seen of a playbook, with types (1, 1.0 and True differ), in the form of `merged`."""
    return {
        "heads": playbook.heads,
        "height": playbook.height,
        "revisions": dict(playbook.revisions.entries()),
        "bullets": [
            (b.id, b.section, b.text, b.tags, b.helpful, b.harmful, b.author, b.revision, dict(b.counts))
            for b in playbook.bullets
        ],
        "settings": repr(playbook.settings),
        "tools": repr(playbook.tools),
        "templates": repr(playbook.templates),
        "metrics": {name: (repr(total.sum), total.count) for name, total in playbook.metrics.items()},
        "state_hash": playbook.state_hash,
    }


def merged(name: str, history: Iterable[SignedRevision]) -> dict[str, Any]:
    """The state that belongs to a set of revisions."""
    revisions = {signed.cid: signed.revision for signed in history}
    steps = [
        ((revision.height, revision.author, cid, index), revision, op)
        for cid, revision in revisions.items()
        for index, op in enumerate(revision.ops)
    ]
    steps.sort(key=lambda step: step[0])
    bullets = _bullets(steps)
    written = {kind: _last(steps, kind) for kind in (Set, Tool, Template)}
    totals: dict[str, tuple[Fraction, int]] = defaultdict(lambda: (Fraction(0), 0))
    for _, _, op in steps:
        if isinstance(op, Metric):
            total, count = totals[op.name]
            totals[op.name] = (total + Fraction(op.sum), count + op.count)
    metrics = {key: (total.numerator / total.denominator, count) for key, (total, count) in totals.items()}
    parents = {parent for revision in revisions.values() for parent in revision.parents}
    heights = {cid: revision.height for cid, revision in revisions.items()}
    return {
        "heads": frozenset(revisions.keys() - parents),
        "height": max(heights.values(), default=0),
        "revisions": heights,
        "bullets": [
            (*row[:4], sum(c[0] for c in row[6].values()), sum(c[1] for c in row[6].values()), *row[4:])
            for row in sorted(bullets, key=lambda row: (row[1], heights[row[5]], row[0]))
        ],
        "settings": repr(dict(sorted((key, value) for key, (value, _) in _apart(written[Set]).items()))),
        "tools": repr({key: value for key, (value, _) in sorted(written[Tool].items())}),
        "templates": repr({key: value for key, (value, _) in sorted(written[Template].items())}),
        "metrics": {key: (repr(total), count) for key, (total, count) in sorted(metrics.items())},
        "state_hash": _state_hash(name, bullets, written, metrics, heights),
    }


def _bullets(steps: list[tuple[Any, Revision, Op]]) -> list[tuple[Any, ...]]:
    added: dict[str, list[tuple[Cid, Revision, Add]]] = defaultdict(list)
    removed = {op.id for _, _, op in steps if isinstance(op, Remove)}
    counts: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for stamp, revision, op in steps:
        if isinstance(op, Add):
            added[op.id].append((stamp[2], revision, op))
        elif isinstance(op, Helpful | Harmful):
            old = counts[op.id].get(revision.author, (0, 0))
            more = (op.n, 0) if isinstance(op, Helpful) else (0, op.n)
            counts[op.id][revision.author] = (old[0] + more[0], old[1] + more[1])
    rows = []
    for key in added.keys() - removed:
        cid, revision, op = min(added[key], key=lambda item: item[0])
        rows.append((key, op.section, op.text, op.tags, revision.author, cid, counts.get(key, {})))
    return rows


def _last(steps: list[tuple[Any, Revision, Op]], kind: type[Op]) -> dict[str, tuple[Any, Any]]:
    """Value and stamp of what was written last. `steps` are in the order of stamps."""
    written: dict[str, tuple[Any, Any]] = {}
    for stamp, _, op in steps:
        if isinstance(op, Set | Tool | Template) and isinstance(op, kind):
            key = op.key if isinstance(op, Set) else op.name
            value = op.value if isinstance(op, Set) else op.meta if isinstance(op, Tool) else op.body
            written[key] = (value, stamp)
    return written if kind is Set else {key: item for key, item in written.items() if item[0] is not None}


def _apart(written: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """The values without those inside or around which something was written later."""

    def ended(key: str, by: str) -> bool:
        mine, other = split_key(key), split_key(by)
        shorter = min(len(mine), len(other))
        return mine != other and mine[:shorter] == other[:shorter] and written[by][1] > written[key][1]

    return {
        key: item
        for key, item in written.items()
        if item[0] is not None and not any(ended(key, other) for other in written)
    }


def _state_hash(
    name: str,
    bullets: list[tuple[Any, ...]],
    written: dict[Any, dict[str, tuple[Any, Any]]],
    metrics: dict[str, tuple[float, int]],
    heights: dict[Cid, int],
) -> str:
    def last_written(kind: object) -> str:
        entries = {
            key: dag_cbor.encode([key, value, stamp[0], stamp[1], bytes(stamp[2]), stamp[3]])
            for key, (value, stamp) in written[kind].items()
        }
        return _root(entries, lambda key: hashlib.sha256(key.encode()).digest())

    told = {
        row[0]: dag_cbor.encode(
            [row[0], row[1], row[2], list(row[3]), row[4], bytes(row[5]), [[a, *c] for a, c in sorted(row[6].items())]]
        )
        for row in bullets
    }
    totals = {key: dag_cbor.encode([key, *total]) for key, total in metrics.items()}
    revisions = {cid: bytes(cid) for cid in heights}
    roots = {
        "bullets": _root(told, lambda key: hashlib.sha256(key.encode()).digest()),
        "settings": last_written(Set),
        "tools": last_written(Tool),
        "templates": last_written(Template),
        "metrics": _root(totals, lambda key: hashlib.sha256(key.encode()).digest()),
        "revisions": _root(revisions, lambda cid: cid.digest + cid.codec.to_bytes(8)),
    }
    return hashlib.sha256(dag_cbor.encode({"v": 2, "playbook": name, **roots})).hexdigest()


def _root(entries: dict[Any, bytes], place: Callable[[Any], bytes]) -> str:
    return _tree([(place(key).hex(), place(key), told) for key, told in entries.items()], 0).hex()


def _tree(entries: list[tuple[str, bytes, bytes]], depth: int) -> bytes:
    """Nothing, one entry's hash, or the hash of the sixteen parts that the next hexadecimal digit makes."""
    if not entries:
        return bytes(32)
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0][1] + entries[0][2]).digest()
    parts = (_tree([entry for entry in entries if entry[0][depth] == digit], depth + 1) for digit in "0123456789abcdef")
    return hashlib.sha256(b"\1" + b"".join(parts)).digest()
