"""Bitswap: serve blocks to whoever asks, fetch blocks from given peers.

Runs on the trio side. Each side sends its messages on a stream that it opened itself, as the specification and every
other implementation do. Nothing is stored here; a block that was not asked for is dropped and counted, and who sends
too many of them is not listened to for a while.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import trio
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID

from identity.cid import Cid
from node.net import bitswap_wire as wire
from node.net.bitswap_fetching import Fetching
from node.net.bitswap_ledger import Ledger
from node.net.bitswap_sending import Sending
from node.net.bitswap_serving import Serving
from node.net.counters import Counters
from node.net.port import BlockSource
from node.net.streams import FrameReader, Inflow, drop
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.ratelimit import KeyedBuckets

MAX_STREAMS: Final = 4
"""Streams of one peer that are read at once, with messages of up to 4 MiB. Others wait, and are not refused: Kubo opens
one for each message, also while we still read the ones before, and never repeats what was lost with one."""

PACE_S: Final = 0.1
"""How long a peer that asks for too much is not read from."""

IDLE_S: Final = 60.0

HASHED_AT_ONCE_BYTES: Final = 512 * 1024
"""More than this is hashed by a worker thread: the loop would stand still for more than 0.3 ms. To call a thread costs
as much as to hash a block of the usual size."""


class Bitswap:
    """Block exchange of one host."""

    def __init__(
        self, host: Any, nursery: trio.Nursery, inflow: Inflow, blocks: BlockSource, counters: Counters
    ) -> None:
        self._inflow = inflow
        self._counters = counters
        self._wants = KeyedBuckets(limits.WANTS_PER_S, limits.WANTS_BURST, limits.MAX_RATED_KEYS)
        self._streams: Counter[ID] = Counter()
        self._turns: dict[ID, trio.Semaphore] = {}
        self._ledger: Ledger[ID] = Ledger()
        self._sending = sending = Sending(host, nursery, counters)
        self._serving = Serving(nursery, blocks, sending, self._ledger, counters)
        connections = host.get_network().get_connections
        self._fetching = Fetching(sending, self._ledger, counters, lambda peer: bool(connections(peer)))
        host.set_stream_handler(wire.PROTOCOL, self._handle)

    async def fetch(self, cids: Sequence[Cid], peers: Sequence[ID], timeout_s: float) -> dict[Cid, bytes]:
        """Those of the blocks that some of the peers gave in time; their hashes are right."""
        return await self._fetching.fetch(cids, peers, timeout_s)

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
            while not self._ledger.ignores(peer, trio.current_time()):
                for frame in await frames.read():
                    await self._take(peer, wire.parse(frame))
        self._counters.add("bitswap_streams_ignored")

    async def _take(self, peer: ID, message: wire.Incoming) -> None:
        while not self._wants.allow(peer, trio.current_time(), 1 + len(message.wants)):
            self._counters.add("bitswap_paced")
            await trio.sleep(PACE_S)
        if message.refused:
            self._counters.add("bitswap_wants_refused", message.refused)
            self._ledger.of(peer).refused += message.refused
        if message.blocks:
            await self._take_blocks(peer, message.blocks)
        for keys, take in (
            (message.missing, self._fetching.take_missing),
            (message.present, self._fetching.take_present),
        ):
            for key in keys:
                take(peer, key[-wire.DIGEST_BYTES :])
        if message.full or message.cancels:
            self._serving.cancel(peer, None if message.full else message.cancels)
        if message.wants:
            self._serving.want(peer, message.wants)

    async def _take_blocks(self, peer: ID, blocks: Sequence[bytes]) -> None:
        size_bytes = sum(map(len, blocks))
        self._counters.add("bitswap_bytes_received", size_bytes)
        unsolicited = list(blocks)
        if self._fetching.expects_from(peer):
            if size_bytes > HASHED_AT_ONCE_BYTES:
                digests = await trio.to_thread.run_sync(wire.digests_of, blocks)
            else:
                digests = wire.digests_of(blocks)
            answers = zip(digests, blocks, strict=True)
            unsolicited = [block for digest, block in answers if not self._fetching.take_block(peer, digest, block)]
        if unsolicited:
            self._counters.add("bitswap_blocks_unsolicited", len(unsolicited))
            wasted = sum(map(len, unsolicited))
            if self._ledger.misbehaved(peer, trio.current_time(), blocks=len(unsolicited), size_bytes=wasted):
                self._counters.add("bitswap_peers_ignored")
                self._serving.cancel(peer, None)
