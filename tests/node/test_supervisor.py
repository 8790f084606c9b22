"""A part survives what passes, and nothing else."""

import asyncio

import pytest

from node.supervisor import keep_running
from storage.errors import StorageFull


class FailsThenRuns:
    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)


def test_a_full_disk_only_makes_it_rest() -> None:
    part = FailsThenRuns(StorageFull("full"), ExceptionGroup("parts", [ExceptionGroup("inner", [StorageFull("full")])]))
    asyncio.run(keep_running(part, {}, rest_s=0))
    assert part.runs == 3


def test_while_it_rests_it_says_why() -> None:
    async def main() -> None:
        resting: dict[str, str] = {}
        task = asyncio.create_task(keep_running(FailsThenRuns(StorageFull("full")), resting, rest_s=3600))
        async with asyncio.timeout(10):
            while not resting:  # noqa: ASYNC110 - a dict tells nobody that it grew
                await asyncio.sleep(0)
        assert resting == {"FailsThenRuns": "full"}
        task.cancel()

    asyncio.run(main())


def test_a_defect_ends_it() -> None:
    part = FailsThenRuns(ValueError("a defect"))
    with pytest.raises(ValueError, match="a defect"):
        asyncio.run(keep_running(part, {}, rest_s=0))
    assert part.runs == 1


def test_a_defect_beside_a_full_disk_ends_it() -> None:
    part = FailsThenRuns(ExceptionGroup("parts", [StorageFull("full"), KeyError("a defect")]))
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(keep_running(part, {}, rest_s=0))
    assert caught.group_contains(KeyError)
    assert part.runs == 1


def test_cancelling_it_ends_it() -> None:
    async def main() -> None:
        class Forever:
            async def run(self) -> None:
                await asyncio.Event().wait()

        task = asyncio.create_task(keep_running(Forever(), {}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
