"""Waiting for whoever fetches the same heads."""

import asyncio

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from node.hive import same_heads
from node.hive.same_heads import SameHeads

A, B, C = (Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(3))


def test_the_second_waits_until_the_first_is_done() -> None:
    async def scenario() -> None:
        same = SameHeads(lambda: 0)
        with same.fetching([A, B]):
            second = asyncio.create_task(same.wait([C, B]))
            await asyncio.sleep(0)
            await same.wait([C])  # nobody fetches this one
            assert not second.done()
        await asyncio.wait_for(second, 1)
        await asyncio.wait_for(same.wait([A, B]), 1)

    asyncio.run(scenario())


def test_nobody_waits_for_one_that_gets_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(same_heads, "STALLED_S", 0.01)
        same = SameHeads(lambda: 7)
        with same.fetching([A]):
            await asyncio.wait_for(same.wait([A]), 5)
            with same.fetching([A]):
                pass
            waiting = asyncio.create_task(same.wait([A]))
            await asyncio.sleep(0)
            assert not waiting.done()  # the one that began first is still at it
            await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


def test_nor_for_one_that_brings_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(same_heads, "STALLED_S", 0.001)
        monkeypatch.setattr(same_heads, "WAIT_S", 0.05)
        ticks = iter(range(1_000_000))
        same = SameHeads(lambda: next(ticks))
        with same.fetching([A]):
            await asyncio.wait_for(same.wait([A]), 5)

    asyncio.run(scenario())
