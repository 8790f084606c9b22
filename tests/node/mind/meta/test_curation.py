import asyncio
from pathlib import Path

import pytest

from node.mind.meta.curation import LEAST_JUDGED, Curation
from node.mind.meta.exporting import Exporting
from node.mind.meta.metrics import Metrics
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import ended
from tests.node.net.fake import FakeSwarm


def case_of(mind: Mind, folder: Path) -> Curation:
    metrics = Metrics(mind.node.database, now=mind.node.clock)
    return Curation(metrics, Exporting(mind.node.database, metrics, folder / "exports", now=mind.node.clock))


def test_good_traces_are_curated_where_too_many_answers_are_wrong(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            for number in range(LEAST_JUDGED):
                await ended(mind, f"goal {number}", outcome="bad" if number < 4 else "good", source="check")
            finding = await case_of(mind, tmp_path).look()
            assert finding is not None
            assert finding.measured == {"wrong": 0.2, "judged": 20}
            await ended(mind, "one more", outcome="bad", source="check")
            again = await case_of(mind, tmp_path).look()
            assert again is not None
            assert again.about == finding.about  # so the meta-learner does not write a file for every answer
            taken = await case_of(mind, tmp_path).act(finding)
            assert taken.text.startswith(f"16 good traces are in {tmp_path}")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "judged", "source"), [(3, LEAST_JUDGED, "owner"), (10, LEAST_JUDGED - 1, "owner"), (20, 40, "job")]
)
def test_it_does_nothing_where_few_are_wrong_few_were_judged_or_only_jobs_say_so(
    tmp_path: Path, wrong: int, judged: int, source: str
) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            for number in range(judged):
                outcome = "bad" if number < wrong else "good"
                await ended(mind, f"goal {number}", outcome=outcome, source=source)  # type: ignore[arg-type]
            assert await case_of(mind, tmp_path).look() is None

    asyncio.run(main())
