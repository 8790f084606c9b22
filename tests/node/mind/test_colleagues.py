"""What another twin gets for an answer depends on nothing that it may not be told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm

ASKER = Did("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
QUESTION = "when does the flour mill open"

HIDDEN = [
    ("private", "the flour mill open at midnight for me"),
    ("ask", "the flour mill when open does it at six"),
    ("family", "when does the flour mill open secretly"),
    ("heart", "we said when the flour mill does open"),
]


async def told(path: Path, shared: list[str], hidden: list[tuple[str, str]]) -> tuple[dict[str, Any], float]:
    async with open_mind(FakeSwarm(), path) as mind:
        for namespace, content in hidden:
            await mind.remember(content, namespace)
        for content in shared:
            await mind.remember(content)
        answer = (await mind.colleagues.answer(QUESTION, ASKER)).to_body()
        for source in answer["sources"]:
            source["memory_id"] = ""  # random, and says nothing
        return dict(answer), await mind.colleagues.confidence(QUESTION, ASKER)


@pytest.mark.parametrize("shared", [[], ["the flour mill does open at seven when it is dry"]])
def test_what_is_not_shared_changes_nothing(tmp_path: Path, shared: list[str]) -> None:
    async def main() -> None:
        with_it = await told(tmp_path / "a", shared, HIDDEN)
        without = await told(tmp_path / "b", shared, [])
        assert with_it == without
        assert bool(with_it[1]) == bool(shared)

    asyncio.run(main())


def test_the_owner_hears_that_something_was_left_out_and_the_other_twin_does_not(tmp_path: Path) -> None:
    class Leave:
        def __init__(self) -> None:
            self.left: list[tuple[Did, str]] = []
            self.may = False

        async def given(self, did: Did, question: str) -> bool:
            return self.may

        async def left_out(self, did: Did, question: str) -> None:
            self.left.append((did, question))

    async def ask(mind: Mind) -> list[str]:
        answer = await mind.colleagues.answer(QUESTION, ASKER)
        return [source.text for source in answer.sources]

    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path) as mind:
            leave = Leave()
            mind.colleagues._leave = leave
            await mind.remember("the harbour is green", "ask")
            assert await ask(mind) == []
            assert leave.left == []  # what has nothing to do with the question was not left out
            await mind.remember("the flour mill when open does it at six", "ask")
            await mind.remember("when does the flour mill open secretly", "private")
            assert await ask(mind) == []
            assert leave.left == [(ASKER, QUESTION)]
            leave.may = True
            assert await ask(mind) == ["the flour mill when open does it at six"]

    asyncio.run(main())
