"""What a revision changes, in lines for a person who has to judge it."""

import json
from typing import Final, assert_never

from protocols.playbook.merge import Playbook
from protocols.playbook.ops import Add, Harmful, Helpful, Metric, Op, Remove, Set, Template, Tool
from protocols.playbook.revision import Revision

_INDENT: Final = "    "


def describe(revision: Revision, current: Playbook) -> list[str]:
    """Readable lines, at least one for each operation in its order, against what is in effect in `current`.

    Text of several lines goes on indented. Everything that the revision would add is shown whole.
    """
    return [line for op in revision.ops for line in _described(op, current)] or ["changes nothing"]


def _described(op: Op, current: Playbook) -> list[str]:
    match op:
        case Add():
            tags = f" ({', '.join(op.tags)})" if op.tags else ""
            return _lines(f"+ [{op.section}] ", op.text + tags)
        case Remove():
            return _lines("- ", _shown(current, op.id))
        case Helpful():
            return _lines(f"helpful +{op.n}: ", _shown(current, op.id))
        case Harmful():
            return _lines(f"harmful +{op.n}: ", _shown(current, op.id))
        case Set():
            return _lines(f"setting {op.key}: ", _change(current.settings.get(op.key), op.value))
        case Tool():
            return _lines(f"tool {op.name}: ", _change(current.tools.get(op.name), op.meta))
        case Template():
            return _lines(f"template {op.name}: ", _change(current.templates.get(op.name), op.body))
        case Metric():
            return [f"metric {op.name}: {op.count} more, {op.sum / op.count:g} on average{_so_far(op, current)}"]
        case _:
            assert_never(op)


def _shown(current: Playbook, key: str) -> str:
    bullet = current.bullet(key)
    return f"{key}, which is not in effect here" if bullet is None else f"[{bullet.section}] {bullet.text}"


def _change(old: object, new: object) -> str:
    """Old and new value; only one where the other is nothing or the same. `1`, `1.0` and `true` are not the same."""
    if new is None:
        return "taken out" if old is None else f"taken out, was {_value(old)}"
    if old is None or _value(old) == _value(new):
        return _value(new)
    return f"{_value(old)} → {_value(new)}"


def _value(value: object) -> str:
    """A value as JSON has it; text of several lines as it stands."""
    return value if isinstance(value, str) and "\n" in value else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _so_far(op: Metric, current: Playbook) -> str:
    total = current.metrics.get(op.name)
    return "" if total is None else f"; {total.mean:g} over {total.count} so far"


def _lines(head: str, text: str) -> list[str]:
    first, *others = text.split("\n")
    return [head + first, *(_INDENT + line for line in others)]
