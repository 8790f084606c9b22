"""What peers want of us: a queue for each of them, blocks read by worker threads, answers as fast as they are taken.

Runs on the trio side. A slow disk holds up no more than the answers that wait for it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio
from libp2p.peer.id import ID

from identity.errors import PagiError
from identity.multibase import CODEC_RAW
from node.net import bitswap_wire as wire
from node.net.bitswap_ledger import Ledger
from node.net.bitswap_sending import Sending
from node.net.counters import Counters
from node.net.port import BlockSource

MAX_QUEUED: Final = 1024
"""Wants of one peer that wait, some 300 bytes each: as many as Kubo keeps. Those beyond are told that it is not here,
which is true for them."""

FULL_BYTES: Final = 512 * 1024
"""Blocks are gathered into one message until it has this size. With the largest block on top it is still one that the
other implementations take."""

MAX_SERVED_BYTES: Final = 2 * 1024 * 1024
"""The largest block that the other implementations take."""

MAX_UNASKED_BYTES: Final = 1024
"""A peer that only asks whether we have a block is sent a node of at most this size at once, as by Kubo: it saves a
round trip, and 20 ms that Kubo waits before it asks again. A raw block is seldom so small, and is not read for that."""

MAX_LOOKED_UP: Final = 128
"""Wants that are looked up in one go, so that an answer does not wait for a thousand blocks that are not there."""

MAX_READERS: Final = 4
"""Threads that read blocks. More of them do not make a disk faster."""


@dataclass(slots=True)
class _Answer:
    """What was found for the first `wants`, up to a message's worth."""

    wants: list[wire.Want] = field(default_factory=list)
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    have: list[bytes] = field(default_factory=list)
    missing: list[bytes] = field(default_factory=list)
    failures: int = 0
    size_bytes: int = 0


class Serving:
    """The queues of one host."""

    def __init__(
        self, nursery: trio.Nursery, blocks: BlockSource, sending: Sending, ledger: Ledger[ID], counters: Counters
    ) -> None:
        self._nursery = nursery
        self._blocks = blocks
        self._sending = sending
        self._ledger = ledger
        self._counters = counters
        self._queues: dict[ID, OrderedDict[bytes, wire.Want]] = {}
        self._readers = trio.CapacityLimiter(MAX_READERS)

    def cancel(self, peer: ID, keys: Sequence[bytes] | None) -> None:
        """Take wants of a peer back, or all of them."""
        queue = self._queues.get(peer)
        if queue is None:
            return
        for key in tuple(queue) if keys is None else keys:
            if queue.pop(key, None) is not None:
                self._counters.add("bitswap_wants_cancelled")

    def want(self, peer: ID, wants: Sequence[wire.Want]) -> None:
        """Answer these, after those that wait already."""
        queue = self._queues.get(peer)
        if queue is None:
            queue = self._queues[peer] = OrderedDict()
            self._nursery.start_soon(self._serve, peer, queue)
        refused = []
        for want in wants:
            if want.key in queue or len(queue) < MAX_QUEUED:
                queue[want.key] = want
            else:
                refused.append(want)
        if refused:
            self._counters.add("bitswap_wants_refused", len(refused))
            self._ledger.of(peer).refused += len(refused)
            self._sending.ask(peer, wire.answer({}, (), [want.key for want in refused if want.send_dont_have]))

    async def _serve(self, peer: ID, queue: "OrderedDict[bytes, wire.Want]") -> None:
        try:
            while queue:
                first = tuple(islice(queue.values(), MAX_LOOKED_UP))
                found: _Answer = await trio.to_thread.run_sync(  # type: ignore[call-arg] # the stubs are too old
                    self._look_up, first, limiter=self._readers, abandon_on_cancel=True
                )
                if found.failures:
                    self._counters.add("bitswap_reads_failed", found.failures)
                for want in found.wants:
                    if queue.get(want.key) is want:
                        del queue[want.key]
                    else:  # cancelled meanwhile, or asked for in another way
                        found.blocks.pop(want.key, None)
                if not found.blocks and not found.have and not found.missing:
                    continue
                if await self._sending.answer(peer, wire.answer(found.blocks, found.have, found.missing)):
                    self._counters.add("bitswap_blocks_served", len(found.blocks))
                    self._ledger.of(peer).sent_bytes += found.size_bytes
                else:
                    queue.clear()
        finally:
            del self._queues[peer]

    def _look_up(self, wants: Sequence[wire.Want]) -> _Answer:
        """Runs in a worker thread."""
        found = _Answer()
        for want in wants:
            if found.size_bytes >= FULL_BYTES:
                break
            try:
                answer = self._find(want)
            except PagiError:
                found.failures += 1
                answer = False
            if isinstance(answer, bytes):
                found.blocks[want.key] = answer
                found.size_bytes += len(answer)
            elif answer:
                found.have.append(want.key)
            elif want.send_dont_have:
                found.missing.append(want.key)
            found.wants.append(want)
        return found

    def _find(self, want: wire.Want) -> bytes | bool:
        """The block; or whether it is here, if nothing more is asked and it is not small."""
        if not want.block and want.cid.codec == CODEC_RAW:
            return self._blocks.has(want.cid)
        block = self._blocks.get(want.cid)
        if block is None or len(block) > MAX_SERVED_BYTES:
            return False
        return block if want.block or len(block) <= MAX_UNASKED_BYTES else True
