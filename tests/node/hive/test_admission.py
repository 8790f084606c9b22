"""Taking revisions in: in turns with the owner, and whole even for whoever is cancelled."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from tests.node.hive.judging.pipeline_parts import bullet, new_keys, open_judge, taught

ANNA = new_keys()


def test_the_owner_does_not_wait_for_a_whole_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.hive.admission.TURN_BYTES", 1)

    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA)
            many = [taught(ANNA, f"lesson {n}") for n in range(3)]
            taking = asyncio.create_task(judge.hive.take_in(many))
            await asyncio.sleep(0)  # it has its first turn
            own = await judge.hive.propose("common", "ours", [bullet("ours")])
            await taking
            came = [row.cid for row in (await judge.hive.revisions("common")).items][::-1]
            assert came == [many[0].cid, own, many[1].cid, many[2].cid]

    asyncio.run(main())


@pytest.mark.parametrize("change", ["propose", "take_in", "reject"])
def test_what_is_on_disk_is_in_memory_too_whoever_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA)
            first = taught(ANNA, "the first lesson")
            await judge.hive.take_in([first])
            calls = {
                "propose": lambda: judge.hive.propose("common", "ours", [bullet("ours")]),
                "take_in": lambda: judge.hive.take_in([taught(ANNA, "another one")]),
                "reject": lambda: judge.hive.reject("common", first.cid, "no"),
            }
            is_written, go_on = asyncio.Event(), asyncio.Event()
            write = judge.node.database.write

            async def write_and_wait(fn: Callable[[Connection], Any]) -> Any:
                written = await write(fn)
                is_written.set()
                await go_on.wait()
                return written

            monkeypatch.setattr(judge.node.database, "write", write_and_wait)
            task = asyncio.ensure_future(calls[change]())
            await is_written.wait()
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            shown = (await judge.hive.view("common")).state_hash
            await judge.hive.load()
            assert (await judge.hive.view("common")).state_hash == shown
            assert await judge.texts() != ["the first lesson"]

    asyncio.run(main())
