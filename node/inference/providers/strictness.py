"""Whether a JSON Schema is of the subset that OpenAI enforces to the letter: each object closed, each member required.

Pure. A schema beyond it is sent as a wish, and the answer is checked when it is here.
"""

from collections.abc import Mapping
from typing import Any, Final

_MAX_DEPTH: Final = 5
"""A schema that nests deeper is sent as a wish."""

_ENFORCED: Final = frozenset(
    {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "description",
        "title",
    }
)


def is_strict(schema: object, depth: int = 0) -> bool:
    """Whether it may be marked `strict`."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or not schema.keys() <= _ENFORCED:
        return False
    if schema.get("type") == "object" or "properties" in schema:
        properties: Any = schema.get("properties", {})
        if not isinstance(properties, Mapping) or schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(properties):
            return False
        if not all(is_strict(member, depth + 1) for member in properties.values()):
            return False
    items, options = schema.get("items"), schema.get("anyOf", ())
    return (items is None or is_strict(items, depth + 1)) and all(is_strict(option, depth + 1) for option in options)
