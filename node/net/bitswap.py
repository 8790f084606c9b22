"""Bitswap: serve blocks to whoever asks, fetch one block from given peers.

Runs on the trio side. Each side sends its messages on a stream that it opened itself, as the specification and every
other implementation do. Nothing is stored here; a block that was not asked for is dropped and counted.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID

from identity.cid import Cid
from node.net import bitswap_wire as wire
from node.net.counters import Counters
from node.net.errors import BlockNotFound
from node.net.port import BlockSource
from node.net.streams import FrameReader, Inflow, drop
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.ratelimit import KeyedBuckets

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Blocks are gathered into one message up to this size; a larger block has a message of its own."""

MAX_SERVED_BYTES: Final = 2 * 1024 * 1024
"""The largest block that the other implementations take."""

MAX_QUEUED: Final = 2
"""Messages of up to 2 MiB that wait for one peer; we read no further wants of a peer that does not take its answers."""

MAX_STREAMS: Final = 4
"""Streams of one peer that are read at once, with messages of up to 4 MiB. Others wait, and are not refused: Kubo opens
one for each message, also while we still read the ones before, and never repeats what was lost with one."""

WRITE_S: Final = 30.0
"""A peer must take a message within this time, or what waits for it is dropped."""

PACE_S: Final = 0.1
"""How long a peer that asks for too much is not read from."""

IDLE_S: Final = 60.0
OPEN_TIMEOUT_S: Final = 10.0


class _Wanted:
    """One peer was asked for one block."""

    __slots__ = ("block", "done")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.block: bytes | None = None


class Bitswap:
    """Block exchange of one host."""

    def __init__(
        self, host: Any, nursery: trio.Nursery, inflow: Inflow, blocks: BlockSource, counters: Counters
    ) -> None:
        self._host = host
        self._nursery = nursery
        self._inflow = inflow
        self._blocks = blocks
        self._counters = counters
        self._wants = KeyedBuckets(limits.WANTS_PER_S, limits.WANTS_BURST, limits.MAX_RATED_KEYS)
        self._wanted: dict[ID, dict[bytes, list[_Wanted]]] = {}
        self._outgoing: dict[ID, trio.MemorySendChannel[bytes]] = {}
        self._streams: Counter[ID] = Counter()
        self._turns: dict[ID, trio.Semaphore] = {}
        host.set_stream_handler(wire.PROTOCOL, self._handle)

    # Fetching

    async def fetch(self, cid: Cid, peers: Sequence[ID], timeout_s: float) -> bytes:
        """Ask the peers in turn, each for an even share of the time that is left. Raises BlockNotFound."""
        ends_at = trio.current_time() + timeout_s
        for position, peer in enumerate(peers):
            share_s = (ends_at - trio.current_time()) / (len(peers) - position)
            if share_s <= 0 or not self._host.get_network().get_connections(peer):
                continue
            block = await self._ask(cid, peer, share_s)
            if block is not None:
                self._counters.add("bitswap_blocks_fetched")
                return block
        raise BlockNotFound(f"none of {len(peers)} peers has block {cid}, or none answered in time")

    async def fetch_many(self, cids: Sequence[Cid], peers: Sequence[ID], timeout_s: float) -> dict[Cid, bytes]:
        """Ask for all of them at once, each as `fetch` does; those that were found."""
        found: dict[Cid, bytes] = {}

        async def fetch_one(cid: Cid) -> None:
            with contextlib.suppress(BlockNotFound):
                found[cid] = await self.fetch(cid, peers, timeout_s)

        async with trio.open_nursery() as nursery:
            for cid in cids:
                nursery.start_soon(fetch_one, cid)
        return found

    async def _ask(self, cid: Cid, peer: ID, timeout_s: float) -> bytes | None:
        wanted = _Wanted()
        waiting = self._wanted.setdefault(peer, {}).setdefault(cid.digest, [])
        waiting.append(wanted)
        answered = False
        try:
            with trio.move_on_after(timeout_s):
                await self._send(peer, wire.want_block(cid))
                await wanted.done.wait()
                answered = True
        finally:
            self._forget(peer, cid.digest, wanted)
            if not answered:
                self._send_nowait(peer, wire.cancel_want(cid))
        return wanted.block

    def _forget(self, peer: ID, digest: bytes, wanted: _Wanted) -> None:
        by_digest = self._wanted[peer]
        by_digest[digest].remove(wanted)
        if not by_digest[digest]:
            del by_digest[digest]
        if not by_digest:
            del self._wanted[peer]

    # Messages in

    async def _handle(self, stream: Any) -> None:
        peer = stream.muxed_conn.peer_id
        self._streams[peer] += 1
        turns = self._turns.setdefault(peer, trio.Semaphore(MAX_STREAMS))
        try:
            async with turns:
                await self._read(peer, stream)
        except RemoteProtocolError:
            self._counters.add("frames_refused")
        except (StreamError, trio.TooSlowError):
            pass
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer], self._turns[peer]
            await drop(stream)

    async def _read(self, peer: ID, stream: Any) -> None:
        with FrameReader(stream, self._inflow, wire.MAX_MESSAGE_BYTES, idle_s=IDLE_S) as frames:
            while True:
                for frame in await frames.read():
                    await self._take(peer, wire.parse(frame))

    async def _take(self, peer: ID, message: wire.Incoming) -> None:
        while not self._wants.allow(peer, trio.current_time(), 1 + len(message.wants)):
            self._counters.add("bitswap_paced")
            await trio.sleep(PACE_S)
        for block in message.blocks:
            self._take_block(peer, block)
        for key in message.missing:
            cid = wire.read_cid(key)
            for wanted in self._wanted.get(peer, {}).get(cid.digest, ()) if cid is not None else ():
                wanted.done.set()
        if message.wants:
            await self._serve(peer, message.wants)

    def _take_block(self, peer: ID, block: bytes) -> None:
        asked = self._wanted.get(peer)
        waiting = asked.get(wire.digest_of(block)) if asked else None
        if not waiting:
            self._counters.add("bitswap_blocks_unsolicited")
            return
        for wanted in waiting:
            wanted.block = block
            wanted.done.set()

    # Serving

    async def _serve(self, peer: ID, wants: Sequence[wire.Want]) -> None:
        blocks: dict[bytes, bytes] = {}
        have, missing, size = [], [], 0
        for want in wants:
            if not want.block and self._blocks.has(want.cid):
                have.append(want.key)
                continue
            block = self._blocks.get(want.cid) if want.block else None
            if block is not None and len(block) <= MAX_SERVED_BYTES:
                if size + len(block) > MAX_ANSWER_BYTES and blocks:
                    await self._send(peer, wire.answer(blocks, (), ()))
                    blocks, size = {}, 0
                blocks[want.key] = block
                size += len(block)
                self._counters.add("bitswap_blocks_served")
            elif want.send_dont_have:
                missing.append(want.key)
        if blocks or have or missing:
            await self._send(peer, wire.answer(blocks, have, missing))

    # Messages out

    async def _send(self, peer: ID, data: bytes) -> None:
        try:
            await self._channel(peer).send(data)
        except trio.BrokenResourceError:
            self._counters.add("bitswap_messages_dropped")

    def _send_nowait(self, peer: ID, data: bytes) -> None:
        try:
            self._channel(peer).send_nowait(data)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self._counters.add("bitswap_messages_dropped")

    def _channel(self, peer: ID) -> "trio.MemorySendChannel[bytes]":
        channel = self._outgoing.get(peer)
        if channel is None:
            channel, receive = trio.open_memory_channel[bytes](MAX_QUEUED)
            self._outgoing[peer] = channel
            self._nursery.start_soon(self._write, peer, receive)
        return channel

    async def _write(self, peer: ID, messages: "trio.MemoryReceiveChannel[bytes]") -> None:
        """Send what waits for a peer on a stream of our own, until nothing has come for a while or it breaks."""
        stream = None
        try:
            with messages:
                while True:
                    with trio.fail_after(IDLE_S):
                        data = await messages.receive()
                    with trio.fail_after(WRITE_S):
                        if stream is not None and not await _written(stream, data):
                            await drop(stream)
                            stream = None
                        if stream is None:
                            with trio.fail_after(OPEN_TIMEOUT_S):
                                stream = await self._host.new_stream(peer, [wire.PROTOCOL])
                            await stream.write(data)
        except (BaseLibp2pError, trio.TooSlowError):
            pass
        except Exception:
            logger.exception("Sending blocks ended with an error of a kind that is not expected.")
        finally:
            del self._outgoing[peer]
            if stream is not None:
                await drop(stream)


async def _written(stream: Any, data: bytes) -> bool:
    """Write to a stream that was used before. A peer that restarted has left it dead, and only this write tells."""
    try:
        await stream.write(data)
    except BaseLibp2pError:
        return False
    return True
