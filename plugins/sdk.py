"""What plugin authors import: a decorator that makes a tool of an async function, and the plugin that carries tools.

    @tool(description="Adds two numbers.")
    async def add(a: Annotated[float, "the first summand"], b: float = 0.0) -> float:
        return a + b

The parameters' JSON Schema comes from the annotations: str, int, float, bool, Literal, list of these, `X | None`,
JsonValue, JsonObject, and defaults. A text in Annotated describes a parameter. A tool returns JSON: None, bool, int,
float, str, lists, and dicts with str keys. It raises ToolError for what its caller should read.

This module knows no host and no twin; a tool that needs something of the world takes it when its plugin is made.
"""

import inspect
import types
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

_TYPE_NAMES: Final[Mapping[type, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}

Run = Callable[[Mapping[str, Any]], Awaitable[Any]]

Effect = Literal["none", "acts"]
"""What a call does to the world: `none` only looks and works out, so that calling again is harmless; `acts` changes
something, and is never repeated when nobody knows whether it happened."""


JsonValue = Any
"""Annotates a parameter that takes any JSON value."""

JsonObject = dict[str, Any]
"""Annotates a parameter that takes any JSON object."""


class ToolError(Exception):
    """A tool cannot do what it was asked; the text is shown to the caller as it is."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One callable thing. `parameters` is a JSON Schema of type object; `run` takes parameters that it accepts.

    With `owner_only` it runs when the owner calls it by name, or for a goal once the owner has allowed that very call.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Run
    owner_only: bool = False
    effect: Effect = "acts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A named, versioned set of tools. `skills` is the path of its SKILLS.md: what it can do, for people and models."""

    name: str
    version: str
    tools: tuple[Tool, ...]
    skills: Path


def tool(
    *, description: str, name: str | None = None, owner_only: bool = False, effect: Effect = "acts"
) -> Callable[[Callable[..., Awaitable[Any]]], Tool]:
    """Make a Tool of an async function. `name` is the function's own unless given.

    `owner_only` is for what acts in the owner's name: it signs, it writes to others, it spends. `effect` is `none` for
    what only looks and works out: unless that is said, a call whose outcome nobody knows is never repeated.

    Raises TypeError, at import, for a function that is not async and for annotations without a JSON Schema.
    """

    def decorate(function: Callable[..., Awaitable[Any]]) -> Tool:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} must be an async function")
        schema, floats, integers = _schema_of(function)

        async def run(parameters: Mapping[str, Any]) -> Any:
            return await function(**_as_annotated(parameters, floats, integers))

        return Tool(name or function.__name__, description, schema, run, owner_only, effect)

    return decorate


def _schema_of(function: Callable[..., Awaitable[Any]]) -> tuple[dict[str, Any], frozenset[str], frozenset[str]]:
    """The parameters' schema, and the names of those that are numbers and integers."""
    hints = get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        where = f"{function.__qualname__}, parameter {parameter.name}"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{where}: a tool's parameters have names")
        if parameter.name not in hints:
            raise TypeError(f"{where}: it needs an annotation")
        schema = _schema_of_type(hints[parameter.name], where)
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            schema["default"] = parameter.default
        properties[parameter.name] = schema
    whole = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def named(kind: str) -> frozenset[str]:
        return frozenset(key for key, value in properties.items() if kind in _kinds(value))

    return whole, named("number"), named("integer")


def _schema_of_type(annotation: Any, where: str) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _TYPE_NAMES:
        return {"type": _TYPE_NAMES[annotation]}
    if origin is Annotated:
        texts = [extra for extra in arguments[1:] if isinstance(extra, str)]
        return _schema_of_type(arguments[0], where) | ({"description": texts[0]} if texts else {})
    if origin is Literal:
        return {"enum": list(arguments)}
    if annotation is Any:
        return {}
    if origin is dict and arguments == (str, Any):
        return {"type": "object"}
    if origin is list:
        return {"type": "array", "items": _schema_of_type(arguments[0], where)}
    if origin in (Union, types.UnionType):
        some = [_schema_of_type(one, where) for one in arguments if one is not type(None)]
        return {"anyOf": [*some, *([{"type": "null"}] if type(None) in arguments else [])]}
    raise TypeError(f"{where}: {annotation!r} has no JSON Schema here")


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a parameter accepts at its top level."""
    return {str(one.get("type")) for one in schema.get("anyOf", [schema])}


def _as_annotated(parameters: Mapping[str, Any], floats: frozenset[str], integers: frozenset[str]) -> dict[str, Any]:
    """JSON knows one kind of number: 2 fits a float and 2.0 an int. Give the function what it says it takes."""

    def convert(name: str, value: Any) -> Any:
        if isinstance(value, float) and value.is_integer() and name in integers and name not in floats:
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and name in floats and name not in integers:
            return float(value)
        return value

    return {name: convert(name, value) for name, value in parameters.items()}
