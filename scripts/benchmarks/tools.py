"""Choosing tools: 64 frozen goals over 20 tools, by router and model, by the router alone, and by one native tool call.

Each decision is made by the part that a running twin uses, in a situation where memory holds nothing. A task counts as
a whole if its tool, or both in their order, were called with the arguments that count, and the next decision was to
answer; one that needs no tool, if none was called. The peer is the same model in the same engine, given all tools at
once in llama.cpp's own format. The 1.5B model is fetched on request (capable.py); the 135M one comes with the twin.

`PAGI_TOOLS_MODELS=135m` leaves the larger one out, `none` both. The file of the tasks is frozen: its SHA-256 stands
here (a path in its head is that of its day). With `PAGI_TOOLS_DATA=tune` it runs over the other goals, those on which
everything was chosen.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.capable import ensure_capable
from benchmarks.table import Row
from node.inference.embedder import WordLlamaEmbedder
from node.inference.engine import ChatRequest, ChatTurn, Engine, ToolCall, ToolSpec
from node.inference.llama import open_engine
from node.inference.models import ensure_bundled
from node.mind.actions import Respond, Situation, ToolResult, UseTool
from node.mind.deciding.deciding import Decider
from node.mind.deciding.decomposition import Decomposer
from node.mind.deciding.router import TOP, Router
from plugins.builtin.calculator import calculate
from plugins.host import ToolInfo
from plugins.sdk import ToolError

DATA: Final = Path(__file__).with_name("tools.toml")
TUNE: Final = Path(__file__).with_name("tools_tune.toml")
FROZEN: Final = "2ac332012cd8b074f1b6a5bb9146bd91c2bf23d156098b4f15dcda3bfcb0779e"
PEER: Final = "one native tool call"
PEER_TOKENS: Final = 200

NOTHING: Final = "none"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is right: the tool, the arguments that count, and what it then gives."""

    tool: str
    args: Mapping[str, Any]
    result: Any


@dataclass(frozen=True, slots=True)
class Task:
    """A goal and the calls that are right for it, in order; none if the goal is to be answered at once."""

    id: str
    kind: str
    goal: str
    calls: tuple[Call, ...]


@dataclass(slots=True)
class Tally:
    """What came out of the tasks, as one truth for each thing that was to be got right."""

    chosen: list[bool] = field(default_factory=list)
    args: list[bool] = field(default_factory=list)
    calls: list[bool] = field(default_factory=list)
    whole: dict[str, list[bool]] = field(default_factory=dict)
    ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def tasks(self) -> list[bool]:
        return [one for kind in self.whole.values() for one in kind]


def run() -> list[Row]:
    """The figures; what went wrong goes to stderr."""
    data = read(TUNE if os.environ.get("PAGI_TOOLS_DATA") == "tune" else DATA)
    texts = {item["name"]: item["skills"] for item in data["tool"]}
    return asyncio.run(_measured(tools_of(data), tuple(map(_task, data["task"])), texts))


def read(path: Path) -> Mapping[str, Any]:
    """The tools and the tasks. Raises SystemExit if the file should be frozen and is not."""
    text = path.read_bytes()
    if path == DATA and hashlib.sha256(text).hexdigest() != FROZEN:
        raise SystemExit(f"{path.name} is not the file that was frozen: figures of another are no figures of this one")
    return tomllib.loads(text.decode())


def tools_of(data: Mapping[str, Any]) -> tuple[ToolInfo, ...]:
    """The tools as a host would list them."""
    return tuple(
        ToolInfo(
            name=item["name"],
            description=item["description"],
            parameters=item["parameters"],
            plugin=item["name"],
            kind="builtin",
            health="ok",
            effect="acts" if item.get("changes") else "none",
        )
        for item in data["tool"]
    )


def _task(item: Mapping[str, Any]) -> Task:
    calls = [item, *([item["then"]] if "then" in item else [])] if item["tool"] != NOTHING else []
    made = tuple(Call(call["tool"], call["args"], call["result"]) for call in calls)
    return Task(item["id"], item["kind"], item["goal"], made)


async def _measured(tools: Sequence[ToolInfo], tasks: Sequence[Task], texts: Mapping[str, str]) -> list[Row]:
    router = Router(WordLlamaEmbedder(), lambda info: texts[info.name])
    rows = [await _router_row(router, tools, tasks)]
    rows += _rows("rules alone", await _ours(_Source(None), router, tools, tasks), None)
    models = os.environ.get("PAGI_TOOLS_MODELS", "135m,1.5b").split(",")
    if "135m" in models:
        small = await ensure_bundled(lambda done, total: None)
        async with _opened(small) as engine:
            said_capable = _Source(_AsCapable(engine))
            rows += _rows("135M", await _ours(said_capable, router, tools, tasks), await _peer(engine, tools, tasks))
    if "1.5b" in models:
        large = await asyncio.to_thread(ensure_capable)
        async with _opened(large) as engine:
            rows += _rows("1.5B", await _ours(_Source(engine), router, tools, tasks), await _peer(engine, tools, tasks))
    return rows


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Engine]:
    async with open_engine(path, context_tokens=8192, parallel=1) as engine:
        yield engine


@dataclass
class _Source:
    """A ModelSource over one engine, or none."""

    engine: Engine | None
    loading: bool = False
    reason: str | None = "none"

    async def ready(self) -> Engine | None:
        return self.engine


async def _router_row(router: Router, tools: Sequence[ToolInfo], tasks: Sequence[Task]) -> Row:
    found = []
    for task in tasks:
        routed = {one.info.name for one in await router.route(task.goal, tools, top=TOP)}
        found += [call.tool in routed for call in task.calls]
        if missed := [call.tool for call in task.calls if call.tool not in routed]:
            print(f"router: {task.id} misses {missed}, has {sorted(routed)}", file=sys.stderr)
    return Row(f"right tool among the first {TOP}", _percent(found), None, "%", "", "higher", "")


class _AsCapable:
    """An engine that is said to be capable, to see what becomes of that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.capable, self.context_tokens = engine.name, True, engine.context_tokens
        self.complete, self.stream, self.aclose = engine.complete, engine.stream, engine.aclose


async def _ours(model: _Source, router: Router, tools: Sequence[ToolInfo], tasks: Sequence[Task]) -> Tally:
    decider = Decider(model=model, router=router, decomposer=Decomposer(model), refusal=lambda formula: None)
    tally = Tally()
    for task in tasks:
        situation = Situation(goal=task.goal, steps_left=8, tools=tools, recalled=[])
        made: list[tuple[str, Mapping[str, Any]]] = []
        for number in range(len(task.calls) + 1):
            began = time.perf_counter()
            action = (await decider.decide(situation)).action
            tally.ms.append((time.perf_counter() - began) * 1000)
            if not isinstance(action, UseTool):
                made += [] if isinstance(action, Respond) else [(type(action).__name__, {})]
                break
            made.append((action.name, action.parameters))
            if number == len(task.calls) or action.name != task.calls[number].tool:
                break
            given = ToolResult(action, task.calls[number].result)
            situation = Situation(
                goal=task.goal,
                steps_left=situation.steps_left - 1,
                tools=tools,
                recalled=[],
                tool_results=(*situation.tool_results, given),
            )
        _count(tally, task, made)
    return tally


async def _peer(engine: Engine, tools: Sequence[ToolInfo], tasks: Sequence[Task]) -> Tally:
    specs = [ToolSpec(info.name, info.description, info.parameters) for info in tools]
    tally = Tally()
    for task in tasks:
        turns = [ChatTurn("user", task.goal)]
        made: list[tuple[str, Mapping[str, Any]]] = []
        for number in range(len(task.calls) + 1):
            began = time.perf_counter()
            said = await engine.complete(ChatRequest(turns=turns, max_tokens=PEER_TOKENS, tools=specs))
            tally.ms.append((time.perf_counter() - began) * 1000)
            call = said.tool_calls[0] if said.tool_calls else None
            if call is None:
                break
            made.append((call.name, _arguments(call)))
            if number == len(task.calls) or call.name != task.calls[number].tool:
                break
            result = json.dumps(task.calls[number].result)
            turns += [ChatTurn("assistant", "", (call,)), ChatTurn("tool", result, tool_call_id=call.id)]
        _count(tally, task, made)
    return tally


def _arguments(call: ToolCall) -> Mapping[str, Any]:
    try:
        said = json.loads(call.arguments)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _count(tally: Tally, task: Task, made: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Each right call is a choice to get right, and so is a goal without one; arguments count with the right tool."""
    right = []
    for number, call in enumerate(task.calls):
        name, given = made[number] if number < len(made) else (NOTHING, {})
        tally.chosen.append(name == call.tool)
        if name == call.tool:
            tally.args.append(fits(call.args, given))
        right.append(name == call.tool and tally.args[-1])
    if not task.calls:
        tally.chosen.append(not made)
    if task.calls:
        tally.calls.append(all(right))
    whole = all(right) and len(made) == len(task.calls)
    tally.whole.setdefault(task.kind, []).append(whole)
    if not whole:
        tally.wrong.append(f"{task.id}: {json.dumps(made, ensure_ascii=False)}")


def fits(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether the arguments that count were given (see the head of tools.toml)."""
    return all(name in given and _is(one, given[name]) for name, one in wanted.items())


def _is(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, list):
        return any(_is(one, given) for one in wanted)
    if isinstance(wanted, dict) and "value" in wanted:
        try:
            return abs(calculate(str(given)) - wanted["value"]) < 1e-6
        except ToolError:
            return False
    if isinstance(wanted, dict):
        return all(word in str(given).casefold() for word in wanted["words"])
    if isinstance(wanted, str):
        return isinstance(given, str) and _plain(wanted) == _plain(given)
    return isinstance(given, int | float) and not isinstance(given, bool) and float(given) == float(wanted)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .")


def _rows(name: str, ours: Tally, peer: Tally | None) -> list[Row]:
    for who, tally in (("ours", ours), ("peer", peer)):
        for line in tally.wrong if tally is not None else ():
            print(f"{name}, {who}: {line}", file=sys.stderr)

    def row(what: str, key: Any, unit: str = "%") -> Row:
        better: Any = "lower" if unit == "ms" else "higher"
        other = None if peer is None else key(peer)
        return Row(f"{what}, {name}", key(ours), other, unit, PEER if peer else "", better, "")

    rows = [
        row("right tool or none", lambda tally: _percent(tally.chosen)),
        row("right arguments where the tool is right", lambda tally: _percent(tally.args)),
        row("all calls of a task right, whatever came after", lambda tally: _percent(tally.calls)),
        row("whole task", lambda tally: _percent(tally.tasks)),
    ]
    rows += [row(f"whole task of kind {kind}", lambda tally, k=kind: _percent(tally.whole[k])) for kind in ours.whole]
    rows.append(row("a decision, median", lambda tally: sorted(tally.ms)[len(tally.ms) // 2], "ms"))
    return rows


def _percent(hits: Sequence[bool]) -> float:
    return 100 * sum(hits) / len(hits) if hits else 0.0
