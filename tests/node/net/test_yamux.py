"""The muxer against the library's own, and against a peer that breaks the rules."""

import contextlib
import itertools
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from libp2p import new_host
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamEOF, MuxedStreamError, MuxedStreamReset
from multiaddr import Multiaddr

from node.net import yamux
from node.net.host import make_host
from node.net.settings import NetSettings
from node.net.yamux import Yamux
from node.net.yamux_stream import (
    ACK,
    DATA,
    FIN,
    FIRST_WINDOW_BYTES,
    GO_AWAY,
    MAX_WINDOW_BYTES,
    PING,
    RST,
    SYN,
    WINDOW,
    WINDOW_BYTES,
    YamuxStream,
)
from protocols import limits
from tests.node.net.support import new_keys


class Wire:
    """A secured connection in memory: what one side writes the other receives, cut as the test likes."""

    def __init__(self, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.written = bytearray()
        self.into, self._incoming = trio.open_memory_channel[bytes](1000)
        self.other: Wire | None = None

    async def receive(self) -> list[bytes]:
        try:
            return [await self._incoming.receive()]
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ConnectionClosedError("closed") from None

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += data
        if self.other is not None:
            for start in range(0, len(data), 60_001):
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self.other.into.send(data[start : start + 60_001])

    async def close(self) -> None:
        self._incoming.close()
        if self.other is not None:
            self.other.into.close()


def frame(kind: int, flags: int, stream_id: int, value: int, body: bytes = b"") -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream_id, value) + body


def frames_in(data: bytes) -> list[tuple[int, int, int, int]]:
    found, start = [], 0
    while start < len(data):
        _, kind, flags, stream_id, value = struct.unpack_from("!BBHII", data, start)
        found.append((kind, flags, stream_id, value))
        start += 12 + (value if kind == DATA else 0)
    return found


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[Yamux, Yamux]]:
    """Two of ours, connected."""
    one, two = Wire(is_initiator=True), Wire(is_initiator=False)
    one.other, two.other = two, one
    async with trio.open_nursery() as nursery:
        ends = Yamux(one, "two"), Yamux(two, "one")  # type: ignore[arg-type]
        for end in ends:
            nursery.start_soon(end.start)
            await end.event_started.wait()
        yield ends
        for end in ends:
            await end.close()


@contextlib.asynccontextmanager
async def alone(*, is_initiator: bool = False) -> AsyncIterator[tuple[Yamux, Wire]]:
    """One of ours, and the wire into it."""
    wire = Wire(is_initiator=is_initiator)
    async with trio.open_nursery() as nursery:
        end = Yamux(wire, "peer")  # type: ignore[arg-type]
        nursery.start_soon(end.start)
        await end.event_started.wait()
        yield end, wire
        await end.close()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with trio.fail_after(20):
            await body()

    trio.run(main)


async def read_all(stream: Any) -> bytes:
    data = b""
    with contextlib.suppress(MuxedStreamEOF):
        while True:
            data += await stream.read(65536)
    return data


# Two of ours


@pytest.mark.parametrize("size", [1, FIRST_WINDOW_BYTES, FIRST_WINDOW_BYTES + 1, 5 * WINDOW_BYTES])
def test_what_is_written_is_read_and_ends(size: int) -> None:
    content = os.urandom(size)

    async def body() -> None:
        async with pair() as (one, two), trio.open_nursery() as nursery:
            stream = await one.open_stream()
            got = await two.accept_stream()

            async def write() -> None:
                await stream.write(content)
                await stream.close()

            nursery.start_soon(write)
            assert await read_all(got) == content
            await got.write(b"thanks")
            assert await stream.read() == b"thanks"

    run(body)


def test_streams_are_forgotten_when_both_sides_have_closed_them() -> None:
    async def body() -> None:
        async with pair() as (one, two):
            for _ in range(20):
                stream = await one.open_stream()
                got = await two.accept_stream()
                await stream.close()
                assert await read_all(got) == b""
                await got.close()
                assert await read_all(stream) == b""
            assert not one._streams
            assert not two._streams

    run(body)


def test_a_reset_ends_both_sides() -> None:
    async def body() -> None:
        async with pair() as (one, two):
            stream = await one.open_stream()
            got = await two.accept_stream()
            await stream.reset()
            with pytest.raises(MuxedStreamReset):
                await got.read(1)
            with pytest.raises(MuxedStreamError):
                await got.write(b"x")
            with pytest.raises(MuxedStreamError):
                await stream.write(b"x")
            assert not one._streams
            assert not two._streams

    run(body)


def test_nothing_more_can_be_written_after_closing() -> None:
    async def body() -> None:
        async with pair() as (one, two):
            stream = await one.open_stream()
            await two.accept_stream()
            await stream.close()
            with pytest.raises(MuxedStreamError):
                await stream.write(b"x")

    run(body)


def test_the_end_of_a_connection_ends_its_streams() -> None:
    async def body() -> None:
        async with pair() as (one, two), trio.open_nursery() as nursery:
            stream = await one.open_stream()
            await two.accept_stream()

            async def wait() -> None:
                with pytest.raises(MuxedStreamReset):
                    await stream.read(1)

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await two.close()
            while not one.is_closed:  # noqa: ASYNC110 - the goodbye is on its way
                await trio.sleep(0.001)
            with pytest.raises(MuxedConnUnavailable):
                await one.open_stream()
            with pytest.raises(MuxedConnUnavailable):
                await one.accept_stream()

    run(body)


def test_who_does_not_read_holds_up_its_own_stream_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with pair() as (one, two), trio.open_nursery() as nursery:
            unread, read = await one.open_stream(), await one.open_stream()
            await two.accept_stream()
            reader = await two.accept_stream()
            nursery.start_soon(unread.write, bytes(2 * WINDOW_BYTES))
            await trio.testing.wait_all_tasks_blocked()
            await read.write(b"quick")
            assert await reader.read() == b"quick"
            assert two.unread_bytes == WINDOW_BYTES
            nursery.cancel_scope.cancel()

    run(body)


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    async def main() -> None:
        async with pair() as (one, two):
            stream = await one.open_stream()
            await two.accept_stream()
            with pytest.raises(MuxedStreamError, match="does not read"):
                await stream.write(bytes(2 * WINDOW_BYTES))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_reader_may_wait_for_much_but_never_for_more_than_can_come() -> None:
    async def body() -> None:
        async with pair() as (one, two), trio.open_nursery() as nursery:
            stream = await one.open_stream()
            got = await two.accept_stream()
            got.wake_at(1000)
            read: list[bytes] = []

            async def reader() -> None:
                read.append(await got.read())

            nursery.start_soon(reader)
            await stream.write(bytes(999))
            await trio.testing.wait_all_tasks_blocked()
            assert read == []
            await stream.write(b"x")
            await trio.testing.wait_all_tasks_blocked()
            assert [len(data) for data in read] == [1000]
            got.wake_at(10**9)
            nursery.start_soon(stream.write, bytes(3 * WINDOW_BYTES))
            left = 3 * WINDOW_BYTES
            while left:
                got.wake_at(left)
                left -= len(await got.read())

    run(body)


def test_a_window_grows_for_a_quick_reader_up_to_its_bound() -> None:
    async def body() -> None:
        async with pair() as (one, two), trio.open_nursery() as nursery:
            stream = await one.open_stream()
            got = await two.accept_stream()
            nursery.start_soon(stream.write, bytes(40 * WINDOW_BYTES))
            left = 40 * WINDOW_BYTES
            while left:
                left -= len(await got.read())
            assert got._window_bytes == MAX_WINDOW_BYTES
            assert stream._may_send_bytes <= MAX_WINDOW_BYTES

    run(body)


@given(pieces=st.lists(st.integers(1, 3000), max_size=30), cut=st.integers(1, 200))
def test_pieces_of_any_size_make_the_same_bytes(pieces: list[int], cut: int) -> None:
    content = os.urandom(sum(pieces))

    async def body() -> None:
        stream = YamuxStream(1, _Deaf())
        start = 0
        for size in pieces:
            stream.feed(memoryview(content[start : start + size]))
            start += size
        stream.end()
        data = b""
        with contextlib.suppress(MuxedStreamEOF):
            while True:
                part = await stream.read(cut)
                assert 1 <= len(part) <= cut
                data += part
        assert data == content
        assert stream.unread_bytes == 0

    trio.run(body)


class _Deaf:
    is_closed = False

    def send(self, kind: int, stream_id: int, flags: int, value: int, body: bytes | memoryview = b"") -> None:
        pass

    async def wait_room(self) -> None:
        pass

    def forget(self, stream_id: int) -> None:
        pass


# Frames by hand


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_frames_may_be_cut_anywhere(cuts: list[int]) -> None:
    data = frame(WINDOW, SYN, 1, 0) + frame(DATA, 0, 1, 5, b"hello") + frame(DATA, FIN, 1, 6, b" world")

    async def body() -> None:
        async with alone() as (end, wire):
            borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
            for start, stop in itertools.pairwise(borders):
                await wire.into.send(data[start:stop])
            assert await read_all(await end.accept_stream()) == b"hello world"

    run(body)


def test_a_ping_is_answered() -> None:
    async def body() -> None:
        async with alone() as (_, wire):
            await wire.into.send(frame(PING, SYN, 0, 4711) + frame(PING, ACK, 0, 1))
            await trio.testing.wait_all_tasks_blocked()
            assert frames_in(wire.written) == [(PING, ACK, 0, 4711)]

    run(body)


def test_a_new_stream_is_acknowledged_with_a_window() -> None:
    async def body() -> None:
        async with alone() as (_, wire):
            await wire.into.send(frame(WINDOW, SYN, 1, 0))
            await trio.testing.wait_all_tasks_blocked()
            assert frames_in(wire.written) == [(WINDOW, ACK, 1, WINDOW_BYTES - FIRST_WINDOW_BYTES)]

    run(body)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01" + frame(PING, SYN, 0, 1)[1:],
        frame(4, 0, 1, 0),
        frame(GO_AWAY, 0, 0, 0),
        frame(WINDOW, SYN, 2, 0),  # a number that is ours to give
        frame(WINDOW, SYN, 1, 0) * 2,
        frame(WINDOW, SYN, 1, 0) + frame(DATA, 0, 1, WINDOW_BYTES + 1),
        frame(DATA, SYN, 1, WINDOW_BYTES + 1),
        frame(DATA, 0, 77, MAX_WINDOW_BYTES + 1),
    ],
    ids=["version", "kind", "goodbye", "whose number", "twice", "window", "window at once", "for nobody"],
)
def test_what_breaks_the_rules_ends_the_connection(data: bytes) -> None:
    async def body() -> None:
        async with alone() as (end, wire):
            await wire.into.send(data)
            await end.event_shutting_down.wait()

    run(body)


@pytest.mark.parametrize(
    "data",
    [
        frame(DATA, 0, 77, 5, b"nobody"[:5]),
        frame(WINDOW, 0, 77, 5),
        frame(WINDOW, RST, 77, 0),
        frame(WINDOW, FIN, 77, 0),
        frame(WINDOW, SYN | RST, 1, 0),
        frame(WINDOW, SYN | FIN, 1, 0),
        frame(DATA, SYN | FIN, 1, 5, b"hello"),
        frame(DATA, RST, 1, 0),
    ],
)
def test_what_is_odd_but_allowed_does_not(data: bytes) -> None:
    async def body() -> None:
        async with alone() as (end, wire):
            await wire.into.send(data + frame(PING, SYN, 0, 1))
            await trio.testing.wait_all_tasks_blocked()
            assert (PING, ACK, 0, 1) in frames_in(wire.written)
            assert not end.is_closed

    run(body)


@given(data=st.binary(max_size=200))
def test_random_bytes_end_the_connection_or_wait_for_more(data: bytes) -> None:
    async def body() -> None:
        async with alone() as (_, wire):
            await wire.into.send(data)
            await trio.testing.wait_all_tasks_blocked()

    run(body)


def test_more_streams_than_allowed_are_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "MAX_STREAMS", 2)

    async def body() -> None:
        async with alone() as (end, wire):
            await wire.into.send(b"".join(frame(WINDOW, SYN, number, 0) for number in (1, 3, 5)))
            await trio.testing.wait_all_tasks_blocked()
            assert frames_in(wire.written)[-1] == (WINDOW, RST, 5, 0)
            assert len(end._streams) == 2
            with pytest.raises(MuxedConnUnavailable, match="too many"):
                await end.open_stream()

    run(body)


def test_a_peer_that_pings_and_takes_no_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "MAX_CONTROL_BYTES", 1200)

    async def body() -> None:
        async with alone() as (end, wire):
            stuck = trio.Event()

            async def write(data: bytes) -> None:
                await stuck.wait()

            wire.write = write  # type: ignore[method-assign]
            for _ in range(100):
                await wire.into.send(frame(PING, SYN, 0, 1) * 10)
            await trio.testing.wait_all_tasks_blocked()
            assert end._waiting_bytes < 1200 + 20 * 12
            stuck.set()
            await trio.testing.wait_all_tasks_blocked()
            assert end._waiting_bytes == 0

    run(body)


def test_small_pieces_are_copied_together() -> None:
    """A peer that sends single bytes is not to cost hundreds of bytes for each."""
    stream = YamuxStream(1, _Deaf())
    for _ in range(10_000):
        stream.feed(memoryview(b"x"))
    assert len(stream._pieces) == 1
    assert stream.unread_bytes == 10_000


def test_a_piece_does_not_keep_the_message_it_came_in() -> None:
    """Else a kilobyte for a stream, among much for nobody, would cost 64 KiB of memory for each KiB of its window."""
    stream = YamuxStream(1, _Deaf())
    message = bytes(64 * 1024)
    stream.feed(memoryview(message)[:2000])
    assert isinstance(stream._pieces[0], bytearray)
    stream.feed(memoryview(message)[:60_000])
    kept = stream._pieces[1]
    assert isinstance(kept, memoryview)
    assert kept.obj is message, "what is nearly all of a message is not copied"


def test_small_reads_do_not_copy_what_is_left() -> None:
    """Else a peer that sends 4 MiB of pings in small frames would have us copy 250 GB."""

    async def body() -> None:
        stream = YamuxStream(1, _Deaf())
        stream.feed(memoryview(bytes(100)))
        joined = stream._pieces[0]
        assert await stream.read(32) == bytes(32)
        left = stream._pieces[0]
        assert isinstance(left, memoryview)
        assert left.obj is joined
        stream.feed(memoryview(b"more"))
        stream.end()
        assert await read_all(stream) == bytes(68) + b"more"

    run(body)


@pytest.mark.parametrize(("end", "flag"), [("close", FIN), ("reset", RST)])
def test_a_stream_ends_also_if_its_task_is_being_cancelled(end: str, flag: int) -> None:
    """Else the peer would keep it as long as the connection lasts."""

    async def body() -> None:
        async with alone(is_initiator=True) as (ours, wire):
            stream = await ours.open_stream()
            with trio.CancelScope() as scope:
                scope.cancel()
                await getattr(stream, end)()
            await trio.testing.wait_all_tasks_blocked()
            assert frames_in(wire.written)[-1] == (WINDOW, flag, 1, 0)

    run(body)


def test_number_zero_is_no_stream() -> None:
    async def body() -> None:
        async with alone(is_initiator=True) as (end, wire):
            await wire.into.send(frame(WINDOW, SYN, 0, 0))
            await end.event_shutting_down.wait()

    run(body)


def test_a_connection_that_has_used_up_its_numbers_ends() -> None:
    async def body() -> None:
        async with alone(is_initiator=True) as (end, wire):
            end._next_id = 2**32 - 1
            assert (await end.open_stream()).stream_id == 2**32 - 1
            with pytest.raises(MuxedConnUnavailable, match="numbers"):
                await end.open_stream()
            assert end.is_closed
            assert frames_in(wire.written)[-1][0] == GO_AWAY

    run(body)


def test_many_writers_queue_no_more_than_one() -> None:
    """Each of a thousand streams would else add a frame of 64 KiB for a peer that takes nothing."""

    async def body() -> None:
        async with alone(is_initiator=True) as (end, wire), trio.open_nursery() as nursery:
            stuck = trio.Event()
            write = wire.write

            async def hold(data: bytes) -> None:
                await stuck.wait()
                await write(data)

            wire.write = hold  # type: ignore[method-assign]
            for _ in range(20):
                nursery.start_soon((await end.open_stream()).write, bytes(100_000))
            await trio.testing.wait_all_tasks_blocked()
            assert end._waiting_bytes < yamux.MAX_WAITING_BYTES + 2 * 65536
            stuck.set()
            await trio.testing.wait_all_tasks_blocked()
            assert end._waiting_bytes == 0
            assert sum(value for kind, _, _, value in frames_in(wire.written) if kind == DATA) == 20 * 100_000

    run(body)


def test_a_window_wakes_all_who_write_to_the_stream() -> None:
    async def body() -> None:
        async with alone(is_initiator=True) as (end, wire), trio.open_nursery() as nursery:
            stream = await end.open_stream()
            await stream.write(bytes(FIRST_WINDOW_BYTES))
            for _ in range(2):
                nursery.start_soon(stream.write, b"x")
            await trio.testing.wait_all_tasks_blocked()
            await wire.into.send(frame(WINDOW, ACK, 1, 2))

    run(body)


@pytest.mark.parametrize(
    "flood",
    [frame(PING, SYN, 0, 1) * 5000, b"".join(frame(WINDOW, SYN | RST, 2 * n + 1, 0) for n in range(5000))],
    ids=["pings", "streams that are reset at once"],
)
def test_a_peer_that_floods_is_paced_and_then_read_on(flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FRAMES_PER_S", 100.0)
    monkeypatch.setattr(limits, "FRAMES_BURST", 10_000)
    monkeypatch.setattr(yamux, "PACE_S", 10.0)

    async def main() -> None:
        async with alone() as (end, wire):
            for message in (flood, flood, flood, frame(PING, SYN, 0, 4711)):
                await wire.into.send(message)
            while (PING, ACK, 0, 4711) not in frames_in(wire.written):  # noqa: ASYNC110 - written by another task
                await trio.sleep(10)
            assert trio.current_time() - began > 50
            assert not end.is_closed

    clock = trio.testing.MockClock(autojump_threshold=0.001)
    began = clock.current_time()
    trio.run(main, clock=clock)


# Over a socket, with the library's muxer on the other side


@pytest.mark.slow
@pytest.mark.parametrize("dialled_by_us", [False, True])
def test_the_librarys_muxer_and_ours_understand_each_other(dialled_by_us: bool) -> None:
    content = os.urandom(3_000_000)

    async def echo(stream: Any) -> None:
        data = b""
        with contextlib.suppress(BaseLibp2pError):
            while True:
                data += await stream.read(65536)
        await stream.write(data)
        await stream.close()

    async def main() -> None:
        ours, theirs = make_host(new_keys(), NetSettings()), new_host()
        listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
        async with ours.run(listen_addrs=listen), theirs.run(listen_addrs=listen):
            one, two = (ours, theirs) if dialled_by_us else (theirs, ours)
            for host in (one, two):
                host.set_stream_handler("/echo", echo)
            await one.connect(PeerInfo(two.get_id(), two.get_transport_addrs()))
            for host, other in ((one, two), (two, one)):
                stream = await host.new_stream(other.get_id(), ["/echo"])
                await stream.write(content)
                await stream.close_write()
                back = b""
                with contextlib.suppress(BaseLibp2pError):
                    while len(back) < len(content):
                        back += await stream.read(65536)
                assert back == content
            await one.disconnect(two.get_id())

    trio.run(main)
