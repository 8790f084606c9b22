"""Learning from feedback: 100 held-out questions with a numeric answer, before and after the twin has taught itself.

The questions are in formulas_items.py. The twin answers those of the train half; its owner says of each wrong answer
what is right and how it comes about, and of each right one that it is good. From that the twin makes rules, tries
them and signs those that help (node/mind/learning/proposing.py). Then the held-out half is asked again, with what the
playbook gives. The bullets and the figures of each family are printed on the way.

Everything is the real thing but the network: Learning, Hive, Retrieval, Checks and Proposing, the capable model and the
calculator. In the first arm the model writes an expression and the calculator works it out, as in
node/mind/deciding/solving.py; in the second it has no tool and does the sum itself.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.capable import ensure_capable
from benchmarks.formulas_items import FAMILIES, Item, items
from benchmarks.table import Row
from node.config import MindConfig
from node.hive.hive import Hive
from node.hive.retrieval import Retrieval
from node.inference.embedder import WordLlamaEmbedder
from node.inference.engine import ChatRequest, ChatTurn, Engine
from node.inference.llama import open_engine
from node.inference.local import LocalModel
from node.memory.memory import Memory
from node.mind.deciding.solving import solve
from node.mind.jobs.jobs import Jobs
from node.mind.learning.guiding import Guiding
from node.mind.learning.learning import Learning
from node.mind.learning.own_lessons import OwnLessons
from node.mind.learning.proposing import Improvement, Proposing
from plugins.builtin import calculator
from plugins.host import PluginHost
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_hive, open_node

THREADS: Final = 2
AT_ONCE: Final = 2
MIND: Final = MindConfig()
PLAYBOOK: Final = MIND.playbook

_WITHOUT_TOOL: Final = (
    "You answer questions with one number. Where a rule fits the question follow it exactly, even if you know another "
    "way. Write the working first, in one line, then the number."
)
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"working": {"type": "string", "maxLength": 200}, "number": {"type": "number"}},
    "required": ["working", "number"],
    "additionalProperties": False,
}

Answer = Callable[[str, Sequence[str]], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class Twin:
    """The parts that take part."""

    engine: Engine
    jobs: Jobs
    hive: Hive
    learning: Learning
    proposing: Proposing
    tools: PluginHost

    async def with_tool(self, goal: str, rules: Sequence[str]) -> float | None:
        """The calculator's value of what the model writes."""
        solved = await solve(goal, rules, engine=self.engine, tools=self.tools)
        return _number(solved.value) if solved is not None else None

    async def alone(self, goal: str, rules: Sequence[str]) -> float | None:
        """What the model works out itself."""
        listed = "\n".join(f"- {rule}" for rule in rules) or "(none)"
        turns = [ChatTurn("system", _WITHOUT_TOOL), ChatTurn("user", f"Rules:\n{listed}\n\nQuestion: {goal}")]
        completion = await self.engine.complete(ChatRequest(turns=turns, max_tokens=160, json_schema=_SCHEMA))
        try:
            return _number(str(orjson.loads(completion.text)["number"]))
        except (orjson.JSONDecodeError, KeyError):
            return None

    async def right(self, asked: Sequence[Item], answer: Answer, *, taught: bool = True) -> dict[str, bool]:
        """Which questions are answered rightly, with what the playbook gives to each, or without it."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(item: Item) -> tuple[str, bool]:
            async with turns:
                rules = await self._taught(item.goal) if taught else ()
                return item.goal, item.is_met_by(await answer(item.goal, rules))

        return dict(await asyncio.gather(*(ask(item) for item in asked)))

    async def _taught(self, goal: str, job_id: str = "") -> list[str]:
        """All rules that a goal is given."""
        guidance = await self.learning.guidance(job_id, goal)
        return [*guidance.own_texts, *guidance.texts]

    async def practise(self, asked: Sequence[Item]) -> int:
        """Answer as jobs, and hear from the owner how each went; how many were right."""
        good = 0
        for item in asked:
            job_id = await self.jobs.create(item.goal, None)
            value = await self.with_tool(item.goal, await self._taught(item.goal, job_id))
            text = "I do not know." if value is None else f"{value:.10g}"
            await self.jobs.finish(job_id, status="done", answer=text)
            if item.is_met_by(value):
                good += 1
                await self.learning.rate(job_id, good=True)
                await self.hive.checks.add(PLAYBOOK, item.goal, _expected(item))
                continue
            why = item.correction.partition(": ")[2]
            await self.learning.rate(job_id, good=False, expected=_expected(item), because=why, share=True)
        return good


def run() -> list[Row]:
    """Percent of the held-out half, before (the peer) and after."""
    return asyncio.run(_measured(ensure_capable()))


async def _measured(model: Path) -> list[Row]:
    train = [item for item in items() if item.half == "train"]
    held_out = [item for item in items() if item.half == "held-out"]
    async with _open_twin(model) as twin:
        began = time.monotonic()
        before = await twin.right(held_out, twin.with_tool, taught=False)
        _tell(f"before: {sum(before.values())} right with the calculator, {time.monotonic() - began:.0f} s")
        good = await twin.practise(train)
        _tell(f"train half: {good} of {len(train)} right at first, {time.monotonic() - began:.0f} s")
        learnt = await twin.proposing.improve(PLAYBOOK)
        _show(learnt)
        _tell(f"learnt after {time.monotonic() - began:.0f} s")
        after = await twin.right(held_out, twin.with_tool)
        _tell(f"after: {sum(after.values())} right with the calculator, {time.monotonic() - began:.0f} s")
        before_alone = await twin.right(held_out, twin.alone, taught=False)
        after_alone = await twin.right(held_out, twin.alone)
        _tell(f"the whole took {time.monotonic() - began:.0f} s")
    _by_family(held_out, before, after, before_alone, after_alone)
    revisions = len({kept.revision for kept in learnt.kept})
    return [
        *_rows("with the calculator", held_out, before, after),
        *_rows("without a tool", held_out, before_alone, after_alone),
        Row("bullets that it wrote and kept", len(learnt.kept), None, f"in {revisions} revisions", "", "higher", ""),
        Row("bullets that it wrote and dropped", sum(learnt.dropped.values()), None, "", "", "lower", ""),
    ]


@contextlib.asynccontextmanager
async def _open_twin(path: Path) -> AsyncIterator[Twin]:
    embedder = WordLlamaEmbedder()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_engine(path, threads=THREADS, context_tokens=2048, parallel=AT_ONCE) as engine,
            open_node(FakeSwarm(), Path(folder)) as node,
            Memory.open(node.database, embedder) as memory,
        ):
            model = LocalModel()
            model.settle(engine, None)
            tools = PluginHost()
            tools.register(calculator.plugin())
            hive = new_hive(node, embedder=embedder, model=model)
            await hive.load()
            own_lessons = OwnLessons(memory, node.did)
            guiding = Guiding(
                playbooks=hive,
                retrieval=Retrieval(embedder),
                trust=node.trust,
                tokens=MIND.playbook_tokens,
                usual=PLAYBOOK,
                own_lessons=own_lessons,
            )
            learning = Learning(database=node.database, playbooks=hive, guiding=guiding, usual=PLAYBOOK)

            async def attempt(goal: str, rules: Sequence[str]) -> str:
                solved = await solve(goal, rules, engine=engine, tools=tools)
                return solved.value if solved is not None else "I do not know."

            proposing = Proposing(
                database=node.database,
                model=model,
                embedder=embedder,
                playbooks=hive,
                learning=learning,
                own_lessons=own_lessons,
                attempt=attempt,
            )
            yield Twin(engine, Jobs(node.database), hive, learning, proposing, tools)


def _rows(arm: str, asked: Sequence[Item], before: Mapping[str, bool], after: Mapping[str, bool]) -> list[Row]:
    rows = []
    for name, chosen in (
        ("all", list(asked)),
        ("conventions that it was taught", [item for item in asked if item.house]),
        ("formulas that a model can know", [item for item in asked if not item.house]),
    ):
        shares = [100 * sum(right[item.goal] for item in chosen) / len(chosen) for right in (after, before)]
        rows.append(Row(f"{arm}: {name} ({len(chosen)})", shares[0], shares[1], "% right", "before", "higher", ""))
    return rows


def _show(learnt: Improvement) -> None:
    for kept in learnt.kept:
        _tell(f"  kept ({kept.mended} of {kept.failures} mended): {kept.rule}")
    _tell(f"  dropped: {dict(learnt.dropped)}{f'; {learnt.why}' if learnt.why else ''}")


def _by_family(asked: Sequence[Item], *arms: Mapping[str, bool]) -> None:
    """Right answers of each family's five: before and after with the calculator, before and after without."""
    counts = [Counter(item.family for item in asked if arm[item.goal]) for arm in arms]
    for family in FAMILIES:
        _tell(f"  {family.name:20} {'  '.join(str(count[family.name]) for count in counts)}")


def _expected(item: Item) -> str:
    return f"{item.right:.10g} ± {100 * item.tolerance:g}%"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
