"""A playbook as `playbook.toml`: what people read, review and keep in Git (TOML 1.0).

`instructions`, `version` (the height), the settings as tables by their dotted keys, `[sub_agents.templates]`,
`[[tools]]`, `[metrics]` (means) and `[[bullets]]`. The same state gives the same text. It is written here, and not by a
library that chooses its own layout, so that a difference of two playbooks is a difference of few lines.

How a file is read is in file.py.
"""

import json
from collections.abc import Mapping
from typing import Final

from protocols.playbook.keys import join_key, split_key, written
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.ops import TEMPLATES, Value

_TEMPLATES_TABLE: Final = ".".join(TEMPLATES)


def render(playbook: Playbook, *, under: str = "") -> str:
    """The playbook as TOML text that ends with a line feed; all of it in the table `under` if one is named."""
    settings = dict(playbook.settings)
    head: dict[str, Value] = {"instructions": settings.pop("instructions", ""), "version": playbook.height}
    tables = _by_table(settings)
    pairs = {**head, **tables.pop("", {})}
    within = f"{under}." if under else ""
    parts = [_table(f"[{under}]", pairs) if under else render_values(pairs)]
    if playbook.templates:
        tables[_TEMPLATES_TABLE] = dict(playbook.templates)
    parts += [_table(f"[{within}{name}]", values) for name, values in sorted(tables.items())]
    for name, meta in playbook.tools.items():
        parts.append(_table(f"[[{within}tools]]", {"name": name, **without_name(meta)}))
    if playbook.metrics:
        parts.append(_table(f"[{within}metrics]", {name: total.mean for name, total in playbook.metrics.items()}))
    parts += [_table(f"[[{within}bullets]]", _shown(bullet)) for bullet in playbook.bullets]
    return "\n".join(parts)


def render_values(values: Mapping[str, Value]) -> str:
    """Keys at the root of a TOML file, and their values."""
    return "".join(_pair(key, value) for key, value in values.items())


def without_name(meta: Mapping[str, Value]) -> dict[str, Value]:
    """A tool's description as it stands in the file: its name is the one under which it was registered."""
    return {key: value for key, value in meta.items() if key != "name"}


def _by_table(settings: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """The settings by the table that they stand in; `""` is the root. None of them lies inside another."""
    tables: dict[str, dict[str, Value]] = {}
    for key, value in settings.items():
        *above, last = split_key(key)
        tables.setdefault(join_key(above) if above else "", {})[last] = value
    return tables


def _shown(bullet: Bullet) -> dict[str, Value]:
    return {
        "id": bullet.id,
        "section": bullet.section,
        "text": bullet.text,
        "tags": list(bullet.tags),
        "helpful": bullet.helpful,
        "harmful": bullet.harmful,
        "author": bullet.author,
    }


def _table(header: str, pairs: Mapping[str, Value]) -> str:
    return header + "\n" + render_values(pairs)


def _pair(key: str, value: Value) -> str:
    if isinstance(value, str) and "\n" in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{written(key)} = """\n{escaped}"""\n'
    return f"{written(key)} = {_inline(value)}\n"


def _inline(value: Value) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{written(key)} = {_inline(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return "[" + ", ".join(_inline(item) for item in value) + "]"


def _string(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, and the one difference (DEL) is not in a playbook (see fields.py)."""
    return json.dumps(value, ensure_ascii=False)
