import asyncio
from pathlib import Path

from node.mind.answered import TTL_S
from node.mind.meta.metrics import Metrics
from node.mind.meta.redundancy import LEAST_ASKED, MAX_TTL_S, Redundancy
from storage.meta_learning import MetaAction
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import asked
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_did

DID = new_did()


def case_of(mind: Mind) -> Redundancy:
    return Redundancy(Metrics(mind.node.database, now=mind.node.clock), mind.parts.tuning)


async def questions(mind: Mind, different: int, same: int, **options: object) -> None:
    for number in range(different):
        await asked(mind, DID, question=f"how high is hill {number}", **options)
    await asked(mind, DID, times=same, question="how high is hill 0", **options)


def test_answers_are_kept_longer_where_the_same_is_asked_again_and_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            assert mind.parts.answered.ttl_s == TTL_S
            await questions(mind, 7, 3)
            finding = await case.look()
            assert finding is not None
            assert (finding.measured, finding.harmless) == ({"duplicates": 3, "asked": 10}, True)
            taken = await case.act(finding)
            assert taken.trying
            assert mind.parts.answered.ttl_s == MAX_TTL_S
            assert await case.look() is None

    asyncio.run(main())


def test_it_does_nothing_for_few_questions_or_few_duplicates(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            await questions(mind, 1, LEAST_ASKED - 2)
            assert await case_of(mind).look() is None
        async with open_mind(FakeSwarm(), tmp_path / "b", works=False) as mind:
            await questions(mind, 8, 2)
            await questions(mind, 0, 20, reused=True)  # nobody was asked
            assert await case_of(mind).look() is None
        async with open_mind(FakeSwarm(), tmp_path / "c", works=False) as mind:
            await questions(mind, 1, 20, helped=False)  # no answer came that could be kept
            assert await case_of(mind).look() is None

    asyncio.run(main())


def test_it_is_kept_only_if_a_quarter_of_the_questions_is_saved(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case, now = case_of(mind), mind.node.clock()
            action = MetaAction(
                id="a",
                matter=case.name,
                about="",
                state="trying",
                finding="",
                action="",
                measured={},
                needs={},
                undo={},
                ts_ms=now,
                updated_ms=now,
            )
            await questions(mind, 0, LEAST_ASKED - 2)
            assert await case.outlook(action) is None
            await questions(mind, 0, 2, reused=True)
            assert await case.outlook(action) == "revert"
            await questions(mind, 0, 1, reused=True)
            assert await case.outlook(action) == "keep"

    asyncio.run(main())
