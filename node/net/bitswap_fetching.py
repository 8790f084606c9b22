"""Fetching blocks: what is asked of which peer on behalf of all calls, and what their answers are good for.

Runs on the trio side. Who is asked for what is each call's own choice. A block counts only if this peer was asked for
it, by whichever call; it then serves all of them.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio
from libp2p.peer.id import ID

from identity.cid import Cid
from node.net import bitswap_wire as wire
from node.net.bitswap_call import Call
from node.net.bitswap_ledger import Ledger
from node.net.bitswap_sending import Sending
from node.net.counters import Counters

MAX_LATE: Final = 64 * 1024
"""So many wants that are over are remembered, some 200 bytes each: their blocks may still be under way, and are
nobody's fault. Sixteen calls that ask 64 peers about 64 blocks fill it. Too few of them would put honest peers in the
wrong."""


class Fetching:
    """All calls of one host, and what is asked of whom on their behalf."""

    def __init__(
        self, sending: Sending, ledger: Ledger[ID], counters: Counters, is_connected: Callable[[ID], bool]
    ) -> None:
        self._ledger = ledger
        self._sending = sending
        self._counters = counters
        self._is_connected = is_connected
        self._calls: dict[bytes, list[Call]] = {}
        self._asked: dict[ID, Counter[bytes]] = {}
        self._late: OrderedDict[tuple[ID, bytes], int] = OrderedDict()

    async def fetch(self, cids: Sequence[Cid], peers: Sequence[ID], timeout_s: float) -> dict[Cid, bytes]:
        """Those of the blocks that the peers gave in time; their hashes are right."""
        call = Call(self, cids, peers, timeout_s)
        for digest in call.wanted:
            self._calls.setdefault(digest, []).append(call)
        try:
            with trio.move_on_after(timeout_s):
                await call.run()
        finally:
            for digest in call.wanted:
                self._calls[digest].remove(call)
                if not self._calls[digest]:
                    del self._calls[digest]
            call.give_up()
        if call.found:
            self._counters.add("bitswap_blocks_fetched", len(call.found))
        return call.found

    def usable(self, peer: ID) -> bool:
        return self._is_connected(peer) and not self._ledger.ignores(peer, trio.current_time())

    def standing(self, peer: ID) -> int:
        return self._ledger.of(peer).standing

    def was_silent(self, peer: ID) -> None:
        self._counters.add("bitswap_peers_silent")
        self._ledger.failed(peer)

    # What calls ask

    def ask(self, peer: ID, cids: Sequence[Cid]) -> None:
        """Ask for these on behalf of one call; a want that another call has sent already is not sent again."""
        asked = self._asked.setdefault(peer, Counter())
        fresh = [cid for cid in cids if not asked[cid.digest]]
        asked.update(cid.digest for cid in cids)
        if fresh:
            self._sending.ask(peer, wire.ask(fresh))

    def probe(self, peer: ID, cids: Sequence[Cid]) -> None:
        """Ask whether it has these. It may send a small block at once."""
        for cid in cids:
            self._expect_late(peer, cid.digest)
        self._sending.ask(peer, wire.ask(cids, only_whether=True))

    def withdraw(self, peer: ID, cids: Iterable[Cid]) -> None:
        """Tell a peer that has answered without a block that it is wanted no longer, unless another call asks."""
        asked = self._asked.get(peer, ())
        over = [cid for cid in cids if cid.digest not in asked]
        if over and self._is_connected(peer):
            self._sending.ask(peer, wire.cancel(over))

    def release(self, peer: ID, cids: Sequence[Cid]) -> None:
        """One call no longer waits for these of this peer: they are cancelled unless another one does."""
        asked = self._asked.get(peer, Counter())
        for cid in cids:
            asked[cid.digest] -= 1
            if asked[cid.digest] <= 0:
                self._settle(peer, cid.digest)
        self.withdraw(peer, cids)

    def _settle(self, peer: ID, digest: bytes) -> None:
        """What this peer was asked for is over. Its block may still be under way, once."""
        asked = self._asked.get(peer)
        if asked is not None:
            asked.pop(digest, None)
            if not asked:
                del self._asked[peer]
        self._expect_late(peer, digest)

    def _expect_late(self, peer: ID, digest: bytes) -> None:
        """A call that is repeated asks again while the block is still under way, and it then comes as often."""
        self._late[peer, digest] = self._late.get((peer, digest), 0) + 1
        self._late.move_to_end((peer, digest))
        if len(self._late) > MAX_LATE:
            self._late.popitem(last=False)

    # What peers answer

    def expects_from(self, peer: ID) -> bool:
        """Whether a block of this peer can be of use: if not, there is no need to look at its hash."""
        return peer in self._asked or bool(self._late)

    def take_block(self, peer: ID, digest: bytes, block: bytes) -> bool:
        """A block has come. False if nobody has asked this peer for it."""
        if digest in self._asked.get(peer, ()):
            self._settle(peer, digest)
        elif times := self._late.pop((peer, digest), 0):
            if times > 1:
                self._late[peer, digest] = times - 1
        else:
            return False
        calls = self._calls.get(digest)
        if calls:
            self._ledger.delivered(peer, len(block))
            for call in calls:
                call.take_block(peer, digest, block)
        else:
            self._counters.add("bitswap_blocks_duplicate")
        return True

    def take_missing(self, peer: ID, digest: bytes) -> None:
        """A peer says that it does not have a block."""
        if digest in self._asked.get(peer, ()):
            self._settle(peer, digest)
            self._ledger.failed(peer)
        for call in self._calls.get(digest, ()):
            call.take_missing(peer, digest)

    def take_present(self, peer: ID, digest: bytes) -> None:
        """A peer says that it has a block."""
        for call in self._calls.get(digest, ()):
            call.take_present(peer, digest)
