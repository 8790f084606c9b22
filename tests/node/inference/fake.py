"""An Engine without a model: it says what its script says, and keeps Engine's contract."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from node.inference.engine import ChatRequest, ChatTurn, Completion
from node.inference.errors import BadInferenceRequest, GoalTooLong, InferenceUnavailable

Script = Callable[[Sequence[ChatTurn]], str]


def echo(turns: Sequence[ChatTurn]) -> str:
    """Answer with the last turn's words."""
    return turns[-1].content


@dataclass(slots=True)
class ScriptedEngine:
    """`script` gives the answer to the turns. `gate`, where it is set to an Event, holds every piece back until then.

    A token is a word. Under a JSON Schema the answer is the script's if that fits, else the smallest object that does.
    """

    script: Script = echo
    name: str = "scripted"
    context_tokens: int = 4096
    capable: bool = False
    gate: asyncio.Event | None = None
    asked: list[tuple[ChatTurn, ...]] = field(default_factory=list)
    running: int = 0
    closed: bool = False

    async def complete(self, request: ChatRequest) -> Completion:
        return [item async for item in self.stream(request) if isinstance(item, Completion)][-1]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        turns, max_tokens, stop, json_schema = request.turns, request.max_tokens, request.stop, request.json_schema
        if self.closed:
            raise InferenceUnavailable("the model is closed")
        if not turns or max_tokens < 1 or not 0 <= request.temperature <= 2 or "" in stop:
            raise BadInferenceRequest("turns, max_tokens, temperature or stop")
        if sum(len(turn.content.split()) for turn in turns) + max_tokens > self.context_tokens:
            raise GoalTooLong("too many words")
        self.asked.append(tuple(turns))
        answer = self.script(turns) if json_schema is None else _fitting(self.script(turns), json_schema)
        for text in stop:
            answer = answer.partition(text)[0]
        self.running += 1
        words, pieces = answer.split(" "), []
        try:
            for number, word in enumerate(words[:max_tokens]):
                await (self.gate.wait() if self.gate else asyncio.sleep(0))
                if self.closed:
                    raise InferenceUnavailable("the model was closed while it answered")
                pieces.append(word if number == 0 else f" {word}")
                yield pieces[-1]
        finally:
            self.running -= 1
        yield Completion(
            text="".join(pieces),
            model=self.name,
            prompt_tokens=sum(len(turn.content.split()) for turn in turns),
            completion_tokens=len(pieces),
            ms=1.0,
            finish="length" if len(words) > max_tokens else "stop",
        )

    async def aclose(self) -> None:
        self.closed = True
        if self.gate:
            self.gate.set()


def _fitting(answer: str, schema: Mapping[str, Any]) -> str:
    try:
        validator = jsonschema_rs.validator_for(dict(schema))
    except ValueError as error:
        raise BadInferenceRequest(str(error)) from error
    try:
        fits = validator.is_valid(json.loads(answer))
    except json.JSONDecodeError:
        fits = False
    smallest = {key: _smallest(schema["properties"][key]) for key in schema.get("required", ())}
    return answer if fits else json.dumps(smallest, separators=(",", ":"))


def _smallest(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}[schema["type"]]
