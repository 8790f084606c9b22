"""What is remembered of months of conversation: recall@k of the evidence, beside plain likeness and full text alone.

In the manner of LongMemEval, but generated (longmem.toml, seeded): conversations over 200 days, most of them chatter,
some of which tell something. They go through working memory, noticing and consolidation, as a twin's own do, without a
model.
Then questions are asked whose evidence is known: told once, told in two conversations, told again otherwise, asked by
the day, and never told. All three search what the same memory holds then. A hit is a memory of the right conversation
that has the very words that answer.
"""

import asyncio
import random
import re
import tempfile
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from benchmarks.table import Row
from node.config import MemoryConfig
from node.inference.embedder import WordLlamaEmbedder
from node.inference.local import LocalModel
from node.memory.assembly import MemoryParts, assemble_memory
from node.memory.memory import Memory
from node.memory.recall import RECALLED_KINDS
from node.memory.record import Recalled
from node.mind.relevance import MIN_LIKENESS, supports
from storage import memories
from storage.database import Database

DATA = Path(__file__).with_name("longmem.toml")
NOW = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
DAYS = 200
CHATTER = 120
"""Conversations that tell nothing."""

SEEDS = {"tune": 7, "check": 11}
KS = (1, 5)
KINDS = (
    "told once",
    "told once, asked in other words",
    "told in two conversations",
    "told again otherwise",
    "by the day",
)

Found = Sequence[tuple[str | None, str]]
"""Session and content of what a search found, best first."""

Search = Callable[[str, int], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and for each thing that it needs the conversation and the words that say it. None: never told."""

    kind: str
    text: str
    needs: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class World:
    """The conversations, each at its moment, and what is asked in the end."""

    sessions: list[tuple[datetime, str, list[str]]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def run(group: str = "check") -> list[Row]:
    """The shares, in percent, over the world of `group`."""
    return asyncio.run(_measured(world(SEEDS[group])))


def world(seed: int) -> World:
    """A world, the same for the same seed."""
    chance, data = random.Random(seed), tomllib.loads(DATA.read_text(encoding="utf-8"))
    made = World()
    pairs = [(who, attribute) for who in data["people"] for attribute in data["attribute"]]
    chance.shuffle(pairs)
    values = {id(one): chance.sample(one["values"], len(one["values"])) for one in data["attribute"]}
    told: list[tuple[str, Any, str, str]] = []
    for number, (who, attribute) in enumerate(pairs):
        value = values[id(attribute)].pop()
        asked = [text.format(who=who) for text in attribute["asked"]]
        if number >= 60:
            made.questions.append(Question("never told", asked[0], ()))
            continue
        said = chance.choice(attribute["told"]).format(who=who, value=value)
        session = _session(made, chance, data, [said], first_day=0, last_day=DAYS // 2)
        if number >= 42:
            another = chance.choice([other for other in attribute["values"] if other != value])
            again = attribute["again"].format(who=who, value=another)
            newer = _session(made, chance, data, [again], first_day=DAYS // 2 + 1, last_day=DAYS - 1)
            made.questions.append(Question("told again otherwise", asked[0], ((newer, another),)))
            continue
        told.append((who, attribute, value, session))
        made.questions.append(Question("told once", asked[0], ((session, value),)))
        made.questions.append(Question("told once, asked in other words", asked[1], ((session, value),)))
    _add_pairs(made, told)
    _add_outings(made, chance, data)
    for _ in range(CHATTER):
        _session(made, chance, data, [], first_day=0, last_day=DAYS - 1)
    made.sessions.sort(key=lambda one: one[0])
    return made


def _add_pairs(made: World, told: Sequence[tuple[str, Any, str, str]]) -> None:
    for one, other in zip(told[::2], told[1::2], strict=True):
        text = " And ".join(attribute["asked"][0].format(who=who) for who, attribute, _, _ in (one, other))
        needs = ((one[3], one[2]), (other[3], other[2]))
        made.questions.append(Question("told in two conversations", text, needs))


def _add_outings(made: World, chance: random.Random, data: dict[str, Any]) -> None:
    days = chance.sample(range(20, DAYS - 10), len(data["outing"][0]["values"]))
    for day, value in zip(days, data["outing"][0]["values"], strict=True):
        said = data["outing"][0]["said"].format(value=value, who=chance.choice(data["people"]))
        session = _session(made, chance, data, [said], first_day=day, last_day=day)
        date = NOW - timedelta(days=DAYS - day)
        phrase = chance.choice(["on {0:%B} {0.day}", "on {0.day} {0:%B}", "on {0:%Y-%m-%d}"]).format(date)
        made.questions.append(Question("by the day", f"What did we talk about {phrase}?", ((session, value),)))


def _session(
    made: World, chance: random.Random, data: dict[str, Any], tells: Sequence[str], *, first_day: int, last_day: int
) -> str:
    """Two to four exchanges of chatter, with what is told among them; the session's id."""
    turns = []
    for one in chance.sample(data["chatter"], chance.randint(2, 4)):
        turns += [one["asked"], one["answered"]]
    for text in tells:
        turns[(place := 2 * chance.randint(0, len(turns) // 2)) : place] = [text, "I will keep that in mind."]
    day = chance.randint(first_day, last_day)
    moment = NOW - timedelta(days=DAYS - day) + timedelta(minutes=chance.randint(-500, 300))
    session = f"s{len(made.sessions)}"
    made.sessions.append((moment, session, turns))
    return session


async def _measured(made: World) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        clock = [0]
        async with (
            Database.open(Path(folder) / "node.db") as database,
            Memory.open(database, WordLlamaEmbedder(), now=lambda: clock[0]) as memory,
        ):
            config = MemoryConfig(working_ttl_s=86_400)
            parts = assemble_memory(memory, config, model=LocalModel("none was chosen"), now=lambda: clock[0])
            await _live(made, parts, clock)
            searches: dict[str, Search] = {
                "ours": lambda text, k: _ours(parts, text, k),
                "likeness alone": lambda text, k: _dense(memory, text, k),
                "full text alone": lambda text, k: _words(memory, text, k),
            }
            rows = [row async for row in _rows(made, searches)]
            return [*rows, *await _abstentions(made, parts)]


async def _live(made: World, parts: MemoryParts, clock: list[int]) -> None:
    """Have the conversations at their times; what is over is consolidated as time goes by."""
    for moment, session, turns in made.sessions:
        clock[0] = int(moment.timestamp() * 1000)
        for number, text in enumerate(turns):
            role = "assistant" if number % 2 else "user"
            turn_id = await parts.working.append(session, role, text)  # type: ignore[arg-type]
            if role == "user":
                await parts.noticing.heard(text, turn_id=turn_id, session_id=session)
            clock[0] += 20_000
        await parts.consolidation.consolidate()
    clock[0] = int(NOW.timestamp() * 1000)
    while (await parts.consolidation.consolidate()).more:
        pass


async def _ours(parts: MemoryParts, text: str, k: int) -> Found:
    return _shown(await parts.recall.recall(text, k=k))


async def _dense(memory: Memory, text: str, k: int) -> Found:
    return _shown(await memory.search(text, k=k, kinds=RECALLED_KINDS))


async def _words(memory: Memory, text: str, k: int) -> Found:
    """Any word of the question, the best by BM25: what a full-text search does without anything else."""
    words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", text))

    def read(conn: Connection) -> Found:
        rows = conn.execute(
            "SELECT rowid FROM memories_text WHERE memories_text MATCH ? ORDER BY bm25(memories_text) LIMIT ?",
            (words, k),
        )
        return [(row.session_id, row.content) for row in memories.get_many(conn, [seq for (seq,) in rows])]

    return await memory.database.read(read)


def _shown(found: Sequence[Recalled]) -> Found:
    return [(one.session_id, one.content) for one in found]


async def _rows(made: World, searches: dict[str, Search]) -> AsyncIterator[Row]:
    for kind in KINDS:
        questions = [one for one in made.questions if one.kind == kind]
        for k in KS:
            shares = {name: await _share(questions, search, k) for name, search in searches.items()}
            ours = shares.pop("ours")
            for peer, share in shares.items():
                yield Row(f"recall@{k}, {kind}", ours, share, "%", peer, "higher", "")


async def _share(questions: Sequence[Question], search: Search, k: int) -> float:
    """Mean share of what a question needs that is among the first k."""
    total = 0.0
    for question in questions:
        found = await search(question.text, k)
        total += sum(_has(found, need) for need in question.needs) / len(question.needs)
    return 100 * total / len(questions)


def _has(found: Found, need: tuple[str, str]) -> bool:
    session, words = need
    return any(place == session and words.lower() in content.lower() for place, content in found)


async def _abstentions(made: World, parts: MemoryParts) -> list[Row]:
    questions = [one.text for one in made.questions if one.kind == "never told"]
    ours, peer = [], []
    for text in questions:
        ours.append(any(supports(text, memory) for memory in await parts.recall.recall(text)))
        near = await parts.memory.search(text, kinds=RECALLED_KINDS)
        peer.append(any(one.score >= MIN_LIKENESS for one in near))
    shares = [100 * sum(hits) / len(hits) for hits in (ours, peer)]
    return [Row("answered though never told", *shares, "%", "likeness alone", "lower", "")]
