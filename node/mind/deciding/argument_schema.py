"""A tool's JSON Schema, so bounded that a model can be held to it.

A schema may come with a plugin or from a server of tools, and a grammar is made of it: without bounds a model writes
one text for ever, and a hostile schema makes a grammar of any size. What a model then writes is checked against the
tool's own schema, so that nothing is lost by leaving a part of it out here.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

MAX_SCHEMA_BYTES: Final = 16_384
"""Of a schema that a grammar is made of. A tool with a larger one is called by name, not chosen."""

MAX_DEPTH: Final = 6
MAX_PROPERTIES: Final = 24
MAX_TEXT_CHARS: Final = 400
"""Of one text: a message of a few sentences. A longer one is the owner's to write."""

MAX_ITEMS: Final = 12
MAX_ENUM: Final = 64

_SMALL_PATTERN: Final = re.compile(r"\^(?:\[[A-Za-z0-9-]+\](?:\{[0-9]{1,2}\})?|[A-Za-z0-9 :/._-]){1,40}\$")
"""Classes and signs in a row, of a known length: what a grammar can copy out."""

_COPIED: Final = ("const", "minimum", "maximum", "type")
_SCALARS: Final = ["string", "number", "boolean", "null"]


class Unbounded(Exception):
    """No grammar is made of this schema."""


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's parameters with a bound on everything. Raises Unbounded."""
    try:
        size = len(json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unbounded("it is no JSON") from error
    if size > MAX_SCHEMA_BYTES:
        raise Unbounded(f"it has {size} bytes; {MAX_SCHEMA_BYTES} are allowed")
    try:
        _validator(schema)
    except (ValueError, TypeError) as error:
        raise Unbounded("it is no JSON Schema") from error
    return _object(schema, MAX_DEPTH)


def mistakes(arguments: object, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with arguments by the tool's own schema, at most three things; empty if they fit."""
    try:
        found = zip(_validator(schema).iter_errors(arguments), range(3), strict=False)
        return tuple(error.message[:200] for error, _ in found)
    except (ValueError, TypeError) as error:
        return (str(error).partition("\n")[0][:200],)


def _validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Nothing is fetched, and no pattern backtracks."""
    return jsonschema_rs.validator_for(dict(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions())


def _bounded(schema: Any, depth: int) -> dict[str, Any]:
    if depth == 0:
        raise Unbounded(f"it is nested more than {MAX_DEPTH} deep")
    if not isinstance(schema, Mapping) or "$ref" in schema or "allOf" in schema or "not" in schema:
        return {"type": _SCALARS, "maxLength": MAX_TEXT_CHARS}  # Its own schema has the last word.
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return {"anyOf": [_bounded(one, depth - 1) for one in list(schema[key])[:MAX_ENUM]]}
    if "enum" in schema and 0 < len(schema["enum"]) <= MAX_ENUM:
        return {"enum": list(schema["enum"])}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return {"anyOf": [_bounded({**schema, "type": kind}, depth - 1) for kind in kinds[:8]]}
    if kinds == "object" or "properties" in schema:
        return _object(schema, depth)
    if kinds == "array":
        return _array(schema, depth)
    if kinds == "string":
        return _text(schema)
    if kinds in ("integer", "number", "boolean", "null"):
        return {key: schema[key] for key in _COPIED if key in schema}
    return {"type": _SCALARS, "maxLength": MAX_TEXT_CHARS}


def _object(schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping) or len(properties) > MAX_PROPERTIES:
        raise Unbounded(f"an object has more than {MAX_PROPERTIES} properties")
    required = [name for name in schema.get("required", ()) if name in properties]
    return {
        "type": "object",
        "properties": {name: _bounded(one, depth - 1) for name, one in properties.items()},
        "required": required,
        "additionalProperties": False,
    }


def _array(schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    most = min(MAX_ITEMS, _count(schema.get("maxItems"), MAX_ITEMS))
    least = min(most, _count(schema.get("minItems"), 0))
    items = _bounded(schema.get("items", {}), depth - 1)
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _text(schema: Mapping[str, Any]) -> dict[str, Any]:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and _SMALL_PATTERN.fullmatch(pattern):
        return {"type": "string", "pattern": pattern}
    if schema.get("format") in ("date", "time", "date-time"):
        return {"type": "string", "format": schema["format"]}
    most = min(MAX_TEXT_CHARS, _count(schema.get("maxLength"), MAX_TEXT_CHARS))
    return {"type": "string", "minLength": min(most, _count(schema.get("minLength"), 0)), "maxLength": most}


def _count(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
