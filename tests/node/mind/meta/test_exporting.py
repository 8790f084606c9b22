import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from node.mind.meta import exporting
from node.mind.meta.errors import NothingToExport
from node.mind.meta.exporting import Exporting
from node.mind.meta.metrics import Metrics
from storage.traces import MAX_TEXT_CHARS
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import ended
from tests.node.net.fake import FakeSwarm


def exporting_of(mind: Mind, folder: Path) -> Exporting:
    metrics = Metrics(mind.node.database, now=mind.node.clock)
    return Exporting(mind.node.database, metrics, folder / "exports", now=mind.node.clock)


def pairs(path: Path) -> list[tuple[str, str]]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    assert all([turn["role"] for turn in line["messages"]] == ["user", "assistant"] for line in lines)
    return [(line["messages"][0]["content"], line["messages"][1]["content"]) for line in lines]


def test_traces_are_written_oldest_first_for_the_owner_alone_and_without_what_is_private(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await ended(mind, "write to anna.berg@example.org", answer="Her card is 4111 1111 1111 1111.")
            await ended(mind, "second", answer="two")
            exported = await exporting_of(mind, tmp_path).export(curated=False)
            assert exported.traces == 2
            text = exported.path.read_text()
            assert "example.org" not in text
            assert "4111" not in text
            assert pairs(exported.path)[1] == ("second", "two")
            assert stat.S_IMODE(exported.path.stat().st_mode) == 0o600
            assert [path.name for path in exported.path.parent.iterdir()] == [exported.path.name]

    asyncio.run(main())


def test_what_went_badly_was_refused_or_no_model_wrote_is_no_example(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await ended(mind, "bad", outcome="bad")
            await ended(mind, "refused", status="refused")
            await ended(mind, "failed", status="failed")
            await ended(mind, "degraded", degraded="there was no model")
            with pytest.raises(NothingToExport):
                await exporting_of(mind, tmp_path).export(curated=False)
            assert not (tmp_path / "exports").exists()
            await ended(mind, "unknown", answer="x")
            with pytest.raises(NothingToExport, match="known to be good"):
                await exporting_of(mind, tmp_path).export(curated=True)

    asyncio.run(main())


def test_a_corrected_answer_is_exported_as_it_was_corrected(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            wrong = await ended(mind, "how many litres", answer="2")
            await mind.learning.rate(wrong, good=False, expected="112.5", because="3 * 37.5")
            await ended(mind, "good", answer="yes", outcome="good")
            await ended(mind, "unknown", answer="perhaps")
            exported = await exporting_of(mind, tmp_path).export(curated=True)
            assert pairs(exported.path) == [("how many litres", "112.5 (3 * 37.5)"), ("good", "yes")]
            assert exported.corrected == 1

    asyncio.run(main())


def test_the_newest_are_exported_if_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MAX_TRACES", 2)

    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            for number in range(3):
                await ended(mind, f"goal {number}")
            exported = await exporting_of(mind, tmp_path).export(curated=False)
            assert [goal for goal, _ in pairs(exported.path)] == ["goal 1", "goal 2"]

    asyncio.run(main())


def test_documents_are_no_examples_and_are_not_even_read_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await ended(mind, "short", answer="x" * MAX_TEXT_CHARS)
            await ended(mind, "x" * (MAX_TEXT_CHARS + 1), answer="long")
            await ended(mind, "long", answer="x" * 3 * MAX_TEXT_CHARS)
            exported = await exporting_of(mind, tmp_path).export(curated=False)
            assert [goal for goal, _ in pairs(exported.path)] == ["short"]
            jobs = await Metrics(mind.node.database, now=mind.node.clock).jobs()
            assert max(len(job.goal) + len(job.answer) for job in jobs) <= MAX_TEXT_CHARS + 10

    asyncio.run(main())
