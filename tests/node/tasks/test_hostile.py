"""A twin that the owner named and that gives tasks without end."""

import asyncio
from pathlib import Path

from node.tasks.worker import HOPE_S, MAX_WORKING, MAX_WORKING_FOR_ONE
from tests.node.parts import Clock, soon
from tests.node.tasks.assembly import Hand, open_hands


async def _held(worker: Hand, giver: Hand) -> int:
    page = await worker.tasks.list(limit=100)
    return sum(row.requester == giver.node.did for row in page.items)


def test_one_that_never_says_who_gets_its_tasks_does_not_keep_all_places(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_hands(tmp_path, 0.0, 0.0, 0.9) as (hostile, honest, worker):
            for number in range(MAX_WORKING + 2):
                await hostile.tasks.post(f"count the tides {number}", deadline_s=7 * 86_400)
            while await _held(worker, hostile) < MAX_WORKING_FOR_ONE:  # noqa: ASYNC110 - rows tell nobody that they changed
                await asyncio.sleep(0.001)
            row = await honest.tasks.post("count the boats")
            while not await _held(worker, honest):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert (await worker.task(row.id)).status == "bid"
            assert await _held(worker, hostile) == MAX_WORKING_FOR_ONE

    asyncio.run(soon(main()))


def test_bids_that_come_to_nothing_give_their_places_back(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.0, 0.0, 0.9, clock=clock) as (one, other, honest, worker):
            for number in range(MAX_WORKING_FOR_ONE):
                for hostile in (one, other):
                    await hostile.tasks.post(f"count the tides {number}", deadline_s=7 * 86_400)
            while await _held(worker, one) + await _held(worker, other) < MAX_WORKING:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            clock.advance(HOPE_S + 1)
            row = await honest.tasks.post("count the boats")
            while not await _held(worker, honest):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert (await worker.task(row.id)).status == "bid"

    asyncio.run(soon(main()))
