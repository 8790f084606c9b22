"""Recall with the embedded embedder: what is found, what is answered, and what is answered though no memory says it.

The questions are in recall.toml: in the words of a fact, reworded, paraphrased, some that no fact answers, and some
that only a rare word (a code, a number, a name, a quoted phrase) tells apart.
The thresholds of node/mind/relevance.py were chosen on one half of the subjects; these figures are of the other half.
The peer is the likeness alone: in finding, no rare words and no weights; in answering, no look at the words.
"""

import asyncio
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.table import Row
from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.config import MindConfig
from node.hive.retrieval import Retrieval
from node.inference.embedder import WordLlamaEmbedder
from node.memory.memory import Memory, NewMemory, Recalled
from node.memory.privacy import Namespaces
from node.memory.recall import Recall
from node.memory.topics import topics_of
from node.mind.relevance import MIN_LIKENESS, MIN_TOPIC_LIKENESS, supports, topic_likeness
from protocols.playbook.merge import Bullet
from storage.database import Database

DATA = Path(__file__).with_name("recall.toml")
PEER = "likeness alone"
STYLES = ("close", "reworded", "paraphrased")
MIND = MindConfig()

Decides = Callable[[str, Recalled], bool]
"""Whether a memory answers a question."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one twin knows, and what it is asked. `facts[i]` answers `questions[style][i]`."""

    rule: str
    facts: tuple[str, ...]
    questions: dict[str, tuple[str, ...]]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the fact that answers it (None if there is none), and what the search found."""

    question: str
    fact: str | None
    found: Sequence[Recalled]
    by_likeness: Sequence[Recalled]

    def first(self, decides: Decides) -> str | None:
        """The fact that would be answered with."""
        found = self.by_likeness if decides is _by_likeness else self.found
        return next((memory.content for memory in found if decides(self.question, memory)), None)


def run(group: str = "check") -> list[Row]:
    """The shares, in percent, over the subjects of `group`."""
    own, others = subjects(group), subjects("tune" if group == "check" else "check")
    asked = asyncio.run(_ask(own, rare_items(group)))
    return [*_recall(asked), *_routing(own, others), *_bullets(own)]


def subjects(group: str) -> list[Subject]:
    """The subjects of one half of the data."""
    return [
        Subject(
            rule=item["rule"],
            facts=tuple(item["facts"]),
            questions={style: tuple(item[style]) for style in STYLES},
            absent=tuple(item["absent"]),
        )
        for item in tomllib.loads(DATA.read_text(encoding="utf-8"))["subject"]
        if item["group"] == group
    ]


def rare_items(group: str) -> list[tuple[str, str]]:
    """(fact, question) of one half of those that a rare word tells apart."""
    items = tomllib.loads(DATA.read_text(encoding="utf-8"))["rare"]
    return [(item["fact"], item["question"]) for item in items if item["group"] == group]


async def _ask(known: Sequence[Subject], rare: Sequence[tuple[str, str]]) -> dict[str, list[Asked]]:
    """One memory that holds all facts is asked everything; by style, `absent` and `rare`."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Database.open(Path(folder) / "node.db") as database,
            Memory.open(database, WordLlamaEmbedder()) as memory,
        ):
            recall = Recall(memory, Namespaces(database))
            facts = [fact for one in known for fact in one.facts] + [fact for fact, _ in rare]
            await memory.add_many([NewMemory(kind="semantic", content=fact) for fact in facts])

            async def ask(question: str, fact: str | None) -> Asked:
                found = await recall.recall(question, k=MIND.recall_items)
                return Asked(question, fact, found, await memory.search(question, k=MIND.recall_items))

            asked = {
                style: [
                    await ask(question, fact)
                    for one in known
                    for question, fact in zip(one.questions[style], one.facts, strict=True)
                ]
                for style in STYLES
            }
            asked["rare"] = [await ask(question, fact) for fact, question in rare]
            asked["absent"] = [await ask(question, None) for one in known for question in one.absent]
            return asked


def _recall(asked: dict[str, list[Asked]]) -> list[Row]:
    rows = [
        _row(
            f"right memory found first, {style}",
            [one.found[0].content == one.fact for one in asked[style]],
            [one.by_likeness[0].content == one.fact for one in asked[style]],
        )
        for style in (*STYLES, "rare")
    ]
    rows += [
        _row(
            f"answered from it, {style}",
            [one.first(supports) == one.fact for one in asked[style]],
            [one.first(_by_likeness) == one.fact for one in asked[style]],
        )
        for style in (*STYLES, "rare")
    ]
    answerable = [one for style in STYLES for one in asked[style]]
    for name, those in (("from another memory", answerable), ("though none says it", asked["absent"])):
        ours = [one.first(supports) not in (None, one.fact) for one in those]
        peer = [one.first(_by_likeness) not in (None, one.fact) for one in those]
        rows.append(_row(f"answered {name}", ours, peer, better="lower"))
    return rows


def _by_likeness(question: str, memory: Recalled) -> bool:
    return memory.score >= MIN_LIKENESS


def _routing(own: Sequence[Subject], others: Sequence[Subject]) -> list[Row]:
    """Each subject is a twin that advertises the topics of its facts; the first few that fit are asked."""
    embedder = WordLlamaEmbedder()
    topics = [topics_of([((), fact) for fact in one.facts]) for one in own]

    def asks(question: str) -> list[int]:
        likeness = topic_likeness(embedder, question, topics)
        fitting = [twin for twin, score in enumerate(likeness) if score >= MIN_TOPIC_LIKENESS]
        return sorted(fitting, key=lambda twin: -likeness[twin])[: MIND.max_asked]

    rows = [
        _row(
            f"the twin that knows is asked, {style}",
            [twin in asks(question) for twin, one in enumerate(own) for question in one.questions[style]],
        )
        for style in STYLES
    ]
    foreign = [question for one in others for style in STYLES[:2] for question in one.questions[style]]
    rows.append(_row("some twin is asked though none knows", [bool(asks(one)) for one in foreign], better="lower"))
    return rows


def _bullets(own: Sequence[Subject]) -> list[Row]:
    """Each subject brings one rule to the playbook."""
    retrieval = Retrieval(WordLlamaEmbedder())
    rules = [_bullet(one.rule) for one in own]
    right: list[bool] = []
    wrong: list[bool] = []
    for one in own:
        for question in (question for style in STYLES[:2] for question in one.questions[style]):
            found = retrieval.fitting(question, rules, ages=[0] * len(rules), tokens=MIND.playbook_tokens)
            fitting = {fit.bullet.text for fit in found}
            right.append(one.rule in fitting)
            wrong += [rule.text in fitting for rule in rules if rule.text != one.rule]
    return [_row("rule of the subject in the prompt", right), _row("other rule in the prompt", wrong, better="lower")]


def _bullet(text: str) -> Bullet:
    """A bullet that nobody has counted yet."""
    nobody = did_key(KeyPair(bytes(32)).public)
    revision = Cid.of(CODEC_DAG_JOSE, text.encode())
    return Bullet(text, "rules", text, (), helpful=0, harmful=0, author=nobody, revision=revision, counts={})


def _row(
    name: str, ours: Sequence[bool], peer: Sequence[bool] | None = None, better: Literal["higher", "lower"] = "higher"
) -> Row:
    return Row(name, _percent(ours), None if peer is None else _percent(peer), "%", PEER if peer else "", better, "")


def _percent(hits: Sequence[bool]) -> float:
    return 100 * sum(hits) / len(hits)
