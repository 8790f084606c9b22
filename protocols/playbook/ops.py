"""The operations of a playbook revision, and their form on the wire and in the API.

Each is a delta: what it does to a playbook is in merge.py. On the wire an operation is a map whose `op` names it.
The checks here are total: what passes them can be written, hashed and rendered as TOML on every node.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

from identity import multibase
from identity.did import Did
from protocols import dag_cbor, fields, limits
from protocols.errors import MalformedMessage
from protocols.playbook.keys import split_key

Value: TypeAlias = bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
"""What a setting, a template or a tool's description may hold: JSON without null, which TOML does not have.
Nobody changes one in place."""

TEMPLATES: Final = ("sub_agents", "templates")
"""Where the templates stand in playbook.toml."""

RENDERED_TABLES: Final = frozenset({"version", "tools", "metrics", "bullets"})
"""Names at the top of playbook.toml that are not settings."""

_BULLET_ID: Final = re.compile(r"b[a-z2-7]{32}")


@dataclass(frozen=True, slots=True)
class Add:
    """Add a bullet. `id` follows from author, height, position and content: see `bullet_id`."""

    id: str
    section: str
    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a bullet for ever, wherever and whenever its addition arrives."""

    id: str


@dataclass(frozen=True, slots=True)
class Helpful:
    """Count a bullet as helpful, `n` times."""

    id: str
    n: int = 1


@dataclass(frozen=True, slots=True)
class Harmful:
    """Count a bullet as harmful, `n` times."""

    id: str
    n: int = 1


@dataclass(frozen=True, slots=True)
class Set:
    """Set a setting by its dotted key; None unsets it. The key `instructions` holds text."""

    key: str
    value: Value | None = field(hash=False)


@dataclass(frozen=True, slots=True)
class Tool:
    """Register a tool with its description and parameters; None takes it out."""

    name: str
    meta: Mapping[str, Value] | None = field(hash=False)


@dataclass(frozen=True, slots=True)
class Template:
    """Keep a team of sub-agents, or whatever else serves as a pattern, by its name; None takes it out."""

    name: str
    body: Value | None = field(hash=False)


@dataclass(frozen=True, slots=True)
class Metric:
    """Add `count` observations that sum up to `sum` to a metric."""

    name: str
    sum: float
    count: int = 1


Op: TypeAlias = Add | Remove | Helpful | Harmful | Set | Tool | Template | Metric


def bullet_id(author: Did, height: int, index: int, section: str, text: str) -> str:
    """The id of the bullet that operation number `index` of a revision adds: 160 bits of sha2-256, base32.

    The author is part of it, so that nobody can give another's bullet other content.
    """
    digest = hashlib.sha256(dag_cbor.encode([author, height, index, section, text])).digest()
    return multibase.encode("b", digest[:20])


def read_op(item: object, *, author: Did, height: int, index: int) -> Op:
    """Read operation number `index` of a revision by `author`. Raises MalformedMessage."""
    body = fields.mapping(item, "ops")
    match body.get("op"):
        case "add":
            added = _add(body)
            if added.id != bullet_id(author, height, index, added.section, added.text):
                raise MalformedMessage("a bullet's id does not follow from its content")
            op: Op = added
        case "remove":
            op = Remove(_bullet_id(body))
        case "helpful":
            op = Helpful(_bullet_id(body), fields.integer(body.get("n"), "n", 1, limits.MAX_COUNT_STEP))
        case "harmful":
            op = Harmful(_bullet_id(body), fields.integer(body.get("n"), "n", 1, limits.MAX_COUNT_STEP))
        case "set":
            op = _set(body)
        case "tool":
            op = _tool(body)
        case "template":
            op = Template(_name(body), _value_or_none(body, "body"))
        case "metric":
            op = _metric(body)
        case _:
            raise MalformedMessage("an operation of an unknown kind")
    if body.keys() != write_op(op).keys():
        raise MalformedMessage("an operation has a member too many")
    return op


def write_op(op: Op) -> dict[str, object]:
    """The map that `read_op` reads."""
    match op:
        case Add():
            return {"op": "add", "id": op.id, "section": op.section, "text": op.text, "tags": list(op.tags)}
        case Remove():
            return {"op": "remove", "id": op.id}
        case Helpful():
            return {"op": "helpful", "id": op.id, "n": op.n}
        case Harmful():
            return {"op": "harmful", "id": op.id, "n": op.n}
        case Set():
            return {"op": "set", "key": op.key, "value": op.value}
        case Tool():
            return {"op": "tool", "name": op.name, "meta": op.meta}
        case Template():
            return {"op": "template", "name": op.name, "body": op.body}
        case Metric():
            return {"op": "metric", "name": op.name, "sum": op.sum, "count": op.count}
        case _:
            assert_never(op)


def new_ops(items: Sequence[object], *, author: Did, height: int, first_index: int = 0) -> tuple[Op, ...]:
    """Read the operations of a revision that is still to be made, in the form of the owner's API.

    The first gets the number `first_index`. There bullets to be added have no id yet, `n`, `count` and `tags` may be
    left out, and a sum may be a whole number. Raises MalformedMessage, or another RemoteProtocolError, as `read_op`
    does.
    """
    made: list[Op] = []
    for index, item in enumerate(fields.sequence(list(items), "ops", limits.MAX_OPS), first_index):
        body = dict(fields.mapping(item, "ops"))
        match body.get("op"):
            case "add":
                body.setdefault("tags", [])
                section, text = _section(body), _text(body)
                body["id"] = bullet_id(author, height, index, section, text)
            case "helpful" | "harmful":
                body.setdefault("n", 1)
            case "metric":
                body.setdefault("count", 1)
                body["sum"] = fields.number(body.get("sum"), "sum", -limits.MAX_METRIC_SUM, limits.MAX_METRIC_SUM)
        made.append(read_op(body, author=author, height=height, index=index))
    return tuple(made)


def _add(body: Mapping[str, object]) -> Add:
    tags = fields.lines(body.get("tags"), "tags", limits.MAX_TAGS, limits.MAX_TAG_CHARS)
    return Add(_bullet_id(body), _section(body), _text(body), tags)


def _section(body: Mapping[str, object]) -> str:
    return fields.line(body.get("section"), "section", limits.MAX_SECTION_CHARS)


def _text(body: Mapping[str, object]) -> str:
    return fields.text(body.get("text"), "text", limits.MAX_TEXT_BYTES, min_bytes=1)


def _bullet_id(body: Mapping[str, object]) -> str:
    found = body.get("id")
    if not isinstance(found, str) or not _BULLET_ID.fullmatch(found):
        raise MalformedMessage("'id' is not a bullet's id, which is a 'b' and 32 letters and digits")
    return found


def _set(body: Mapping[str, object]) -> Set:
    key = body.get("key")
    path = split_key(key) if isinstance(key, str) else ()
    if not isinstance(key, str) or path[0] in RENDERED_TABLES or (path[0] == "instructions" and path[1:]):
        raise MalformedMessage(f"the setting {key!r} would stand in the way of what playbook.toml holds there")
    if path[:2] == TEMPLATES or path == TEMPLATES[:1]:
        raise MalformedMessage("what stands in [sub_agents.templates] is no setting: write it as a 'template'")
    value = _value_or_none(body, "value")
    if key == "instructions" and not isinstance(value, str | None):
        raise MalformedMessage("the setting 'instructions' is text")
    return Set(key, value)


def _tool(body: Mapping[str, object]) -> Tool:
    meta = _value_or_none(body, "meta")
    if meta is not None and not isinstance(meta, Mapping):
        raise MalformedMessage("'meta' is not a map")
    return Tool(_name(body), meta)


def _metric(body: Mapping[str, object]) -> Metric:
    return Metric(
        _name(body),
        fields.finite(body.get("sum"), "sum", limits.MAX_METRIC_SUM),
        fields.integer(body.get("count"), "count", 1, limits.MAX_METRIC_COUNT),
    )


def _name(body: Mapping[str, object]) -> str:
    return fields.line(body.get("name"), "name", limits.MAX_KEY_SEGMENT_CHARS)


def _value_or_none(body: Mapping[str, object], name: str) -> Value | None:
    return None if body.get(name) is None else read_value(body[name], name)


def read_value(value: object, name: str) -> Value:
    """A value of JSON without null, bounded in depth first and then in its encoded size. Raises MalformedMessage."""
    checked = _checked(value, name, limits.MAX_VALUE_DEPTH)
    if len(dag_cbor.encode(checked)) > limits.MAX_VALUE_BYTES:
        raise MalformedMessage(f"{name!r} is over {limits.MAX_VALUE_BYTES} bytes")
    return checked


def _checked(value: object, name: str, depth: int) -> Value:
    if depth < 0:
        raise MalformedMessage(f"{name!r} is nested too deep")
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return fields.integer(value, name, -fields.MAX_SAFE_INTEGER)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        return fields.text(value, name, limits.MAX_VALUE_BYTES)
    if isinstance(value, list) and len(value) <= limits.MAX_VALUE_BYTES:
        return [_checked(item, name, depth - 1) for item in value]
    if isinstance(value, Mapping) and len(value) <= limits.MAX_VALUE_BYTES:
        return {
            fields.line(key, name, limits.MAX_VALUE_BYTES, min_chars=0): _checked(item, name, depth - 1)
            for key, item in value.items()
        }
    raise MalformedMessage(f"{name!r} holds null, bytes, or a number that is not finite")
