"""The bridge between asyncio and the trio thread, without libp2p."""

import asyncio
import time

import pytest
import trio
import trio.lowlevel

from node.net.bridge import MAX_BATCH, TrioThread
from node.net.errors import NetworkDown


async def wait_until_stopped(thread: TrioThread, nursery: trio.Nursery) -> None:
    await thread.wait_stop()


async def started(thread: TrioThread) -> None:
    """Wait until the thread takes calls."""
    while thread._nursery is None:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)


def test_a_call_returns_what_trio_returns() -> None:
    async def double(value: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * value

    async def main() -> None:
        thread = TrioThread(wait_until_stopped)
        await started(thread)
        assert await asyncio.gather(*(thread.call(double, n) for n in range(500))) == [2 * n for n in range(500)]
        await thread.stop(5)
        assert thread.finished.result() is None

    asyncio.run(main())


def test_an_error_is_raised_where_the_call_was_made() -> None:
    async def fail() -> None:
        raise LookupError("there")

    async def main() -> None:
        thread = TrioThread(wait_until_stopped)
        await started(thread)
        with pytest.raises(LookupError, match="there"):
            await thread.call(fail)
        await thread.stop(5)

    asyncio.run(main())


@pytest.mark.parametrize("by_timeout", [False, True])
def test_cancelling_a_call_cancels_it_on_the_trio_side(by_timeout: bool) -> None:
    async def main() -> None:
        thread = TrioThread(wait_until_stopped)
        begun, ended = asyncio.Event(), asyncio.Event()

        async def linger() -> None:
            thread.post(begun.set)
            try:
                await trio.sleep_forever()
            finally:
                thread.post(ended.set)

        await started(thread)
        call = asyncio.ensure_future(thread.call(linger))
        await begun.wait()
        if by_timeout:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.01)
        else:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await asyncio.wait_for(ended.wait(), 5)
        await thread.stop(5)

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_it_starts_never_starts() -> None:
    ran = []

    async def note() -> None:
        ran.append(1)

    async def nothing() -> None:
        pass

    async def main() -> None:
        thread = TrioThread(wait_until_stopped)
        await started(thread)
        held = asyncio.Event()

        def hold() -> None:
            loop.call_soon_threadsafe(held.set)
            time.sleep(0.1)

        loop = asyncio.get_running_loop()
        thread.submit(hold)
        await held.wait()
        call = asyncio.ensure_future(thread.call(note))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await thread.call(nothing)
        await thread.stop(5)

    asyncio.run(main())
    assert ran == []


def test_when_the_thread_dies_what_is_under_way_fails_and_so_does_what_follows() -> None:
    async def linger() -> None:
        await trio.sleep_forever()

    def fault() -> None:
        raise RuntimeError("inside")

    async def main() -> None:
        thread = TrioThread(wait_until_stopped)
        await started(thread)
        call = asyncio.ensure_future(thread.call(linger))
        await asyncio.sleep(0)
        thread.submit(fault)
        with pytest.raises(NetworkDown):
            await call
        assert await thread.finished is not None
        with pytest.raises(NetworkDown):
            await thread.call(linger)

    asyncio.run(main())


def test_events_keep_their_order_and_the_loop_gets_its_turn_in_between() -> None:
    async def main() -> None:
        thread = TrioThread(wait_until_stopped)
        seen: list[int] = []
        turns: list[int] = []
        everything = asyncio.Event()

        async def flood() -> None:
            for number in range(10 * MAX_BATCH):
                thread.post(seen.append, number)
            thread.post(everything.set)

        await started(thread)
        call = asyncio.ensure_future(thread.call(flood))
        while not everything.is_set():
            turns.append(len(seen))
            await asyncio.sleep(0)
        await call
        assert seen == list(range(10 * MAX_BATCH))
        assert any(0 < turn < len(seen) for turn in turns)
        await thread.stop(5)

    asyncio.run(main())
