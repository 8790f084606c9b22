import asyncio
from pathlib import Path

from node.mind.meta.load_balance import CHECKED_WITH, LEAST_ASKED, LoadBalance
from node.mind.meta.metrics import Metrics
from storage.meta_learning import MetaAction
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import asked
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_did

SLOW, QUICK, OTHER = sorted(new_did() for _ in range(3))


def case_of(mind: Mind) -> LoadBalance:
    return LoadBalance(Metrics(mind.node.database, now=mind.node.clock), mind.parts.tuning)


def test_a_twin_that_is_far_slower_gives_up_a_fifth_of_its_questions(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            for did, ms in ((SLOW, 900), (QUICK, 100), (OTHER, 100)):
                await asked(mind, did, times=LEAST_ASKED, ms=ms)
            finding = await case.look()
            assert finding is not None
            assert (finding.about, finding.harmless) == (SLOW, True)
            taken = await case.act(finding)
            assert taken.trying
            assert (mind.parts.tuning.shifted_share(SLOW), mind.parts.tuning.shifted_share(QUICK)) == (0.2, 0.0)
            assert await case.look() is None  # once

    asyncio.run(main())


def test_it_does_nothing_where_all_are_about_as_quick_or_little_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            await asked(mind, SLOW, times=LEAST_ASKED, ms=900)
            assert await case.look() is None  # it is the only one
            await asked(mind, QUICK, times=LEAST_ASKED - 1, ms=100)
            assert await case.look() is None  # the other one is hardly known
            await asked(mind, QUICK, times=5, ms=100, reused=True)
            assert await case.look() is None  # what was not asked took no time
            await asked(mind, OTHER, times=LEAST_ASKED, ms=700)
            assert await case.look() is None  # they are about as quick
            mind.node.clock.advance(8 * 86_400)
            await asked(mind, QUICK, times=LEAST_ASKED, ms=1)
            assert await case.look() is None  # that was last week

    asyncio.run(main())


def test_it_is_kept_only_if_questions_take_no_longer(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            now = mind.node.clock()
            measured = {"mean_ms": 300.0}
            action = MetaAction(
                id="a",
                matter=case.name,
                about=SLOW,
                state="trying",
                finding="",
                action="",
                measured=measured,
                needs={},
                undo={},
                ts_ms=now,
                updated_ms=now,
            )
            mind.node.clock.advance(1)
            await asked(mind, QUICK, times=CHECKED_WITH - 1, ms=200)
            assert await case.outlook(action) is None
            await asked(mind, QUICK, ms=200)
            assert await case.outlook(action) == "keep"
            await asked(mind, QUICK, times=CHECKED_WITH, ms=900)
            assert await case.outlook(action) == "revert"

    asyncio.run(main())


def test_what_it_is_measured_by_is_the_time_of_a_question_and_not_of_a_twin(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await asked(mind, SLOW, times=27, ms=1000)
            await asked(mind, QUICK, times=3, ms=100)
            finding = await case_of(mind).look()
            assert finding is not None
            assert finding.measured["mean_ms"] == 910

    asyncio.run(main())


def test_the_share_is_drawn_by_the_goal_and_moves_the_slow_twin_behind_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            await mind.parts.tuning.put("load_shift", {SLOW: 0.2})
            moved = [goal for goal in map(str, range(1000)) if mind.colleagues._is_shifted(SLOW, goal)]
            assert 150 < len(moved) < 250
            assert moved == [goal for goal in map(str, range(1000)) if mind.colleagues._is_shifted(SLOW, goal)]
            assert not any(mind.colleagues._is_shifted(QUICK, goal) for goal in map(str, range(1000)))

    asyncio.run(main())
