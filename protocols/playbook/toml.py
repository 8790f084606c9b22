"""A playbook as `playbook.toml`: what people read, review and keep in Git (TOML 1.0).

`instructions`, `version` (the height), the settings as tables by their dotted keys, `[[tools]]`, `[metrics]` (means)
and `[[bullets]]`. The same state gives the same text. It is written here, and not by a library that chooses its own
layout, so that a difference of two playbooks is a difference of few lines.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.ops import Value

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def render(playbook: Playbook) -> str:
    """The playbook as TOML text that ends with a line feed."""
    settings = dict(playbook.settings)
    head: dict[str, Value] = {"instructions": settings.pop("instructions", ""), "version": playbook.height}
    tables = _by_table(settings)
    parts = ["".join(_pair(key, value) for key, value in {**head, **tables.pop("", {})}.items())]
    parts += [_table(f"[{name}]", pairs) for name, pairs in sorted(tables.items())]
    parts += [_table("[[tools]]", {"name": name, **_without_name(meta)}) for name, meta in playbook.tools.items()]
    if playbook.metrics:
        parts.append(_table("[metrics]", {name: total.mean for name, total in playbook.metrics.items()}))
    parts += [_table("[[bullets]]", _shown(bullet)) for bullet in playbook.bullets]
    return "\n".join(parts)


def _by_table(settings: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """The settings by the table that they stand in; `""` is the root.

    Where `a` is a setting and `a.b` is one too, `a` cannot be a table as well: then `"a.b"` stands quoted at the root.
    """
    tables: dict[str, dict[str, Value]] = {}
    for key, value in settings.items():
        segments = key.split(".")
        if any(".".join(segments[:end]) in settings for end in range(1, len(segments))):
            tables.setdefault("", {})[key] = value
        else:
            tables.setdefault(".".join(segments[:-1]), {})[segments[-1]] = value
    return tables


def _without_name(meta: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in meta.items() if key != "name"}


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
    return header + "\n" + "".join(_pair(key, value) for key, value in pairs.items())


def _pair(key: str, value: Value) -> str:
    if isinstance(value, str) and "\n" in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{_key(key)} = """\n{escaped}"""\n'
    return f"{_key(key)} = {_inline(value)}\n"


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _inline(value: Value) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return "[" + ", ".join(_inline(item) for item in value) + "]"


def _string(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, and the one difference (DEL) is not in a playbook (see fields.py)."""
    return json.dumps(value, ensure_ascii=False)
