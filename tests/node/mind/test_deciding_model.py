"""The plumbing between deciding and a real model: every kind of parameter becomes a grammar that the library takes.

The bundled model is far too small to choose well (docs/decisions/choosing.md), so nothing here rests on what it says.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.inference.engine import Engine
from node.inference.llama import open_engine
from node.mind.actions import Situation, ToolResult, UseTool
from node.mind.deciding.argument_schema import mistakes
from node.mind.deciding.building import draft
from node.mind.deciding.choosing import Question, choose, fill
from node.mind.deciding.deciding import Decider
from node.mind.deciding.decomposition import Decomposer
from node.mind.deciding.router import Router
from plugins.host import ToolInfo
from tests.node.memory.fake import WordEmbedder

pytestmark = [pytest.mark.slow, pytest.mark.model]

GOAL = "Book the room Elm on 2026-03-01 for 2 hours, for Ana and Bert."

PROPERTIES: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "maxLength": 30},
    "short": {"type": "string", "minLength": 1, "maxLength": 5},
    "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "formatted": {"type": "string", "format": "date"},
    "wild": {"type": "string", "pattern": "^(a|b)+$", "maxLength": 8},
    "whole": {"type": "integer", "minimum": 1, "maximum": 9},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "choice": {"enum": ["days", "weeks", 3, None]},
    "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    "either": {"type": ["string", "null"], "maxLength": 9},
    "listed": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 2},
    "inner": {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]},
    "anything": {},
    "object": {"type": "object"},
}


def tool(name: str, required: list[str], **properties: Any) -> ToolInfo:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ToolInfo(name, f"books a {name}", schema, "plugin", "builtin", "ok", effect="none")


class AsCapable:
    """An engine that is said to be capable."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.capable, self.context_tokens = engine.name, True, engine.context_tokens
        self.complete, self.stream, self.aclose = engine.complete, engine.stream, engine.aclose


class Source:
    loading, reason = False, None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ready(self) -> Engine | None:
        return self._engine


def test_a_real_model_is_held_to_every_kind_of_schema(bundled_model: Path) -> None:
    tools = [tool(name, [name], **{name: schema}) for name, schema in PROPERTIES.items()]

    async def main() -> None:
        async with open_engine(bundled_model, threads=1) as small:
            engine = AsCapable(small)
            chosen = await choose(engine, Question(GOAL), tools[:3])
            assert chosen.name in {"text", "short", "date", "none"}
            for info in tools:
                filled = await fill(engine, Question(GOAL), info, tools[:3])
                assert "did not answer:" not in filled.reason, (info.name, filled.reason)
                assert filled.arguments is None or mistakes(dict(filled.arguments), info.parameters) == ()
            drafted = await draft(engine, Question("Make a tool for the area of a square"))
            assert not isinstance(drafted, str) or drafted == "the model wrote no formula"

    asyncio.run(main())


def test_it_decides_to_the_end_with_a_real_model(bundled_model: Path) -> None:
    tools = [tool("room", ["text", "date"], text=PROPERTIES["text"], date=PROPERTIES["date"]), tool("hall", [])]

    async def main() -> None:
        async with open_engine(bundled_model, threads=1) as small:
            source = Source(AsCapable(small))
            router = Router(WordEmbedder(dimensions=256))
            decider = Decider(model=source, router=router, decomposer=Decomposer(source), refusal=lambda formula: None)
            results: list[ToolResult] = []
            for left in range(8, 0, -1):
                situation = Situation(goal=GOAL, steps_left=left, tools=tools, recalled=[], tool_results=results)
                action = (await decider.decide(situation)).action
                if not isinstance(action, UseTool):
                    return
                assert action.name in {"room", "hall"}
                results.append(ToolResult(action, "done"))
            pytest.fail("it did not end")

    asyncio.run(main())
