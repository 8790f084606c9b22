import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from identity.did import Did
from node.mind import answered as module
from node.mind.actions import Asked, AskTwin, Candidate
from node.mind.answered import Answered, distinguishing
from protocols.task import Answer
from storage import answered as rows
from tests.node.memory.fake import WordEmbedder
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_did, open_node

QUESTION = "How many tonnes of flour does the mill grind in 2024?"
ANNA, BERT = new_did(), new_did()


def answer(text: str = "Two tonnes.", confidence: float = 0.9) -> Answer:
    return Answer(text, (), confidence, "model", degraded=False)


def asked(did: Did, reply: Answer | None = None) -> Asked:
    return Asked(Candidate(did, "Anna", ("flour",), 0.5), reply or answer())


def ask(question: str = QUESTION, did: Did = ANNA) -> AskTwin:
    return AskTwin(Candidate(did, "Anna", ("flour",), 0.5), question)


async def name(node: Node, *dids: Did, block: frozenset[Did] = frozenset()) -> None:
    await node.trust.put(replace(node.trust.current, allow=frozenset(dids), block=block))


def new(node: Node, **options: int) -> Answered:
    embedder = WordEmbedder(dimensions=1024)
    return Answered(database=node.database, embedder=embedder, trust=node.trust, now=node.clock, **options)


async def kept(node: Node) -> int:
    return await node.database.read(rows.count)


def test_the_same_question_is_answered_from_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA, BERT)
            known = new(node)
            assert await known.lookup(ask()) is None
            await known.keep(asked(ANNA), QUESTION)
            found = await new(node).lookup(ask())  # it is on disk
            assert found is not None
            assert (found.answer, found.reused, found.candidate) == (answer(), True, ask().candidate)
            other = await known.lookup(ask(did=BERT))  # the answer keeps the name of who gave it
            assert other is not None
            assert other.candidate.did == ANNA

    asyncio.run(main())


@pytest.mark.parametrize(
    "question",
    [
        "How many tonnes of flour does the mill grind in 2025?",
        "How many tonnes of flour does the mill not grind in 2024?",
        "How many tonnes of flour does the kiln grind in 2024?",
        "When does the mill grind tonnes of flour in 2024?",
        "x" * 3000,
    ],
)
def test_another_question_is_asked(tmp_path: Path, question: str) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA)
            known = new(node)
            await known.keep(asked(ANNA), QUESTION)
            assert await known.lookup(ask(question)) is None

    asyncio.run(main())


def test_words_alone_are_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_LIKENESS", 1.01)

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA)
            known = new(node)
            await known.keep(asked(ANNA), QUESTION)
            assert await known.lookup(ask()) is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Tell me the tide of Brest, please", "the tide of brest?", True),
        ("What does the US export?", "What does us export?", False),
        ("Is it 3.5 or 35?", "Is it 35 or 35?", False),
        ("from -3 to 4", "from 3 to 4", False),
    ],
)
def test_which_words_tell_questions_apart(one: str, other: str, same: bool) -> None:
    assert (distinguishing(one) == distinguishing(other)) is same


def test_an_answer_counts_for_a_while(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA)
            known = new(node, ttl_s=60)
            await known.keep(asked(ANNA), QUESTION)
            node.clock.advance(60)
            assert await known.lookup(ask()) is not None
            node.clock.advance(1)
            assert await known.lookup(ask()) is None
            await known.keep(asked(ANNA), "another one entirely")
            assert await kept(node) == 1  # the old one is gone from the disk, too

    asyncio.run(main())


def test_what_did_not_help_or_comes_from_nobody_named_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA)
            known = new(node)
            for entry in (
                asked(BERT),
                asked(ANNA, answer(text="")),
                asked(ANNA, answer(confidence=0.1)),
                replace(asked(ANNA), answer=None),
                replace(asked(ANNA), reused=True),
            ):
                await known.keep(entry, QUESTION)
            await known.keep(asked(ANNA), "x" * 3000)
            assert await kept(node) == 0

    asyncio.run(main())


@pytest.mark.parametrize("how", ["blocked", "not named any more"])
def test_answers_go_with_the_owners_word_on_their_author(tmp_path: Path, how: str) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA, BERT)
            known = new(node)
            await known.keep(asked(ANNA), QUESTION)
            await known.keep(asked(BERT), "another one entirely")
            if how == "blocked":
                await name(node, ANNA, BERT, block=frozenset({ANNA}))
            else:
                await name(node, BERT)
            assert await kept(node) == 1
            assert await known.lookup(ask()) is None
            await name(node, ANNA, BERT)
            assert await known.lookup(ask()) is None  # they do not come back

    asyncio.run(main())


def test_rows_are_bounded_and_a_newer_answer_takes_the_place_of_an_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 3)

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA)
            known = new(node)
            for number in range(5):
                node.clock.advance(1)
                await known.keep(asked(ANNA, answer(f"answer {number}")), f"question {number}")
            assert await kept(node) == 3
            assert await known.lookup(ask("question 1")) is None
            await known.keep(asked(ANNA, answer("newer")), "question 4")
            found = await known.lookup(ask("question 4"))
            assert found is not None
            assert found.answer == answer("newer")
            assert await kept(node) == 3

    asyncio.run(main())


def test_vectors_of_another_embedder_are_not_compared(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            await name(node, ANNA)
            await new(node).keep(asked(ANNA), QUESTION)
            other = WordEmbedder("another", dimensions=64)
            known = Answered(database=node.database, embedder=other, trust=node.trust, now=node.clock)
            assert await known.lookup(ask()) is None

    asyncio.run(main())
