import asyncio
from pathlib import Path

from node.mind.meta.drift import LEAST_KNOWN, MODEL_VERSION, Drift
from node.mind.meta.exporting import Exporting
from node.mind.meta.metrics import Metrics
from storage.learning import Source
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import ended
from tests.node.net.fake import FakeSwarm


def case_of(mind: Mind, folder: Path) -> Drift:
    metrics = Metrics(mind.node.database, now=mind.node.clock)
    exporting = Exporting(mind.node.database, metrics, folder / "exports", now=mind.node.clock)
    return Drift(metrics, mind.parts.tuning, exporting, mind.hive, playbook="common", model=mind.model)


async def went(mind: Mind, good: int, bad: int) -> None:
    for number in range(good + bad):
        await ended(mind, f"goal {number}", outcome="good" if number < good else "bad")


def test_goals_that_go_badly_lead_to_an_export_once_for_a_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, engine=ScriptedEngine(), works=False) as mind:
            case = case_of(mind, tmp_path)
            await went(mind, 15, 5)
            finding = await case.look()
            assert finding is not None
            assert (finding.measured, finding.harmless) == ({"coherence": 0.75, "known": 20}, True)
            taken = await case.act(finding)
            assert taken.text.startswith(f"15 traces are in {tmp_path}")
            assert await case.look() is None

    asyncio.run(main())


def test_it_does_nothing_while_goals_go_well_little_is_known_or_there_is_no_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=ScriptedEngine(), works=False) as mind:
            await went(mind, 0, LEAST_KNOWN - 1)
            assert await case_of(mind, tmp_path).look() is None
        async with open_mind(FakeSwarm(), tmp_path / "b", engine=ScriptedEngine(), works=False) as mind:
            await went(mind, 18, 2)
            assert await case_of(mind, tmp_path).look() is None
        async with open_mind(FakeSwarm(), tmp_path / "c", works=False) as mind:
            await went(mind, 0, 30)
            assert await case_of(mind, tmp_path).look() is None

    asyncio.run(main())


def test_what_the_owner_found_good_went_well_whoever_wrote_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, engine=ScriptedEngine(), works=False) as mind:
            said: tuple[tuple[Source, float], ...] = (("owner", 1.0), ("job", 0.5))
            for source, expected in said:
                for number in range(LEAST_KNOWN):
                    await ended(mind, f"goal {number}", outcome="good", source=source, degraded="it is too small")
                metrics = Metrics(mind.node.database, now=mind.node.clock)
                assert (await metrics.coherence(2 * LEAST_KNOWN))[0] == expected

    asyncio.run(main())


def test_a_model_that_comes_after_an_export_is_told_to_the_playbook(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, engine=ScriptedEngine(name="tuned-2"), works=False) as mind:
            case = case_of(mind, tmp_path)
            await mind.parts.tuning.put("exported_model", "tuned-2")
            assert await case.look() is None
            await mind.parts.tuning.put("exported_model", "tuned-1")
            finding = await case.look()
            assert finding is not None
            assert not finding.harmless
            await case.act(finding)
            assert (await mind.hive.view("common")).settings[MODEL_VERSION] == "tuned-2"
            assert await case.look() is None

    asyncio.run(main())
