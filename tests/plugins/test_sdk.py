"""The tool decorator: schemas from annotations."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import pytest

from plugins.sdk import tool


def test_the_schema_comes_from_the_annotations() -> None:
    @tool(description="d")
    async def example(
        text: Annotated[str, "what to say"],
        count: int,
        mode: Literal["fast", "slow"] = "fast",
        ratio: float = 0.5,
        loud: bool = False,
        tags: list[str] = [],  # noqa: B006 - a default is part of the schema; nothing changes it
        note: str | None = None,
    ) -> None: ...

    assert example.name == "example"
    assert example.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "what to say"},
            "count": {"type": "integer"},
            "mode": {"enum": ["fast", "slow"], "default": "fast"},
            "ratio": {"type": "number", "default": 0.5},
            "loud": {"type": "boolean", "default": False},
            "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["text", "count"],
        "additionalProperties": False,
    }


def test_numbers_arrive_as_annotated() -> None:
    @tool(description="d", name="renamed")
    async def example(a: int, b: float, c: int | None = None, d: bool = False) -> list[Any]:
        return [a, b, c, d]

    result = asyncio.run(_awaited(example.run({"a": 2.0, "b": 3, "c": 4.0, "d": True})))
    assert result == [2, 3.0, 4, True]
    assert [type(value) for value in result] == [int, float, int, bool]
    assert example.name == "renamed"


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


async def untyped(a) -> None: ...  # type: ignore[no-untyped-def]
async def unknown_type(a: complex) -> None: ...
async def variadic(*a: int) -> None: ...
def not_async(a: int) -> None: ...


@pytest.mark.parametrize("function", [untyped, unknown_type, variadic, not_async])
def test_what_has_no_schema_is_refused_at_import(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=function.__name__):
        tool(description="d")(function)
