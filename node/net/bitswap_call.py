"""One call for blocks: which peer is asked for which of them, and who is asked next.

Runs on the trio side. Blocks are spread over the peers that have delivered before, else over all that are named. What
one does not have is asked of another, after all that are left were asked whether they have it; who is done takes over
from who is slow; who is silent loses what it was asked for.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import trio
from libp2p.peer.id import ID

from identity.cid import Cid

PATIENCE_S: Final = 1.0
"""A peer that has answered nothing for so long, or for its share of the time if that is less, is not waited for alone:
what it was asked for is asked of the next one as well."""

LOOK_S: Final = 0.2
"""How often a call looks for peers that have gone or are silent."""

MAX_ASKED_PEERS: Final = 64
"""Peers that one call asks, the best of them: each may cost a message for each round."""


class Exchange(Protocol):
    """What a call needs of the host's block exchange."""

    def usable(self, peer: ID) -> bool:
        """Whether a peer can be asked now."""

    def standing(self, peer: ID) -> int:
        """0 for a peer that delivers, 1 for one that we do not know, 2 for one that rarely has what we want."""

    def was_silent(self, peer: ID) -> None:
        """A peer did not answer in time."""

    def ask(self, peer: ID, cids: Sequence[Cid]) -> None:
        """Ask for these on behalf of one call."""

    def probe(self, peer: ID, cids: Sequence[Cid]) -> None:
        """Ask whether it has these. It may send a small block at once."""

    def release(self, peer: ID, cids: Sequence[Cid]) -> None:
        """One call no longer waits for these of this peer."""

    def withdraw(self, peer: ID, cids: Sequence[Cid]) -> None:
        """Tell a peer that has answered without a block that it is wanted no longer."""


class _Asked:
    """One peer, as one call sees it: the blocks that it was asked for, and those that it was asked about. `told` is
    what it has only spoken about: it may keep the want, and hears at the end that it is over."""

    __slots__ = ("answers", "heard_at", "in_flight", "probed", "silent", "told")

    def __init__(self) -> None:
        self.in_flight: OrderedDict[bytes, None] = OrderedDict()
        self.probed: set[bytes] = set()
        self.told: set[bytes] = set()
        self.answers = 0
        self.heard_at = 0.0
        self.silent = False


class Call:
    """Fetches some blocks from some peers. What they answer is told to it by `take_…`; `found` is what has come."""

    def __init__(self, exchange: Exchange, cids: Sequence[Cid], peers: Sequence[ID], timeout_s: float) -> None:
        self._exchange = exchange
        self.wanted: dict[bytes, list[Cid]] = {}
        for cid in cids:
            self.wanted.setdefault(cid.digest, []).append(cid)
        self.found: dict[Cid, bytes] = {}
        usable = [peer for peer in dict.fromkeys(peers) if exchange.usable(peer)]
        best = sorted(usable, key=self._standing)[:MAX_ASKED_PEERS]
        self._peers = {peer: _Asked() for peer in best}
        self._patience_s = min(PATIENCE_S, timeout_s / max(len(best), 1))
        self._tried: dict[bytes, set[ID]] = {digest: set() for digest in self.wanted}
        self._owners: dict[bytes, set[ID]] = {digest: set() for digest in self.wanted}
        self._queue: deque[bytes] = deque(self.wanted)
        self._open: set[bytes] = set(self.wanted)
        self._changed = trio.Event()

    def _standing(self, peer: ID) -> int:
        return self._exchange.standing(peer)

    async def run(self) -> None:
        """Ask until all is found or nobody is left who could have the rest."""
        self._assign()
        while self._open and any(asked.in_flight or asked.probed for asked in self._peers.values()):
            with trio.move_on_after(min(LOOK_S, self._patience_s)):
                await self._changed.wait()
            self._changed = trio.Event()
            self._look_after()
            self._assign()
            self._take_over()

    def give_up(self) -> None:
        """Tell everybody that what it was asked for and has not given is wanted no longer."""
        for peer, asked in self._peers.items():
            self._release(peer, tuple(asked.in_flight))
            self._exchange.withdraw(peer, self._cids(asked.told | asked.probed))

    # What comes

    def take_block(self, peer: ID, digest: bytes, block: bytes) -> None:
        """A block that this call wants. It may come from a peer that another call has asked."""
        if digest not in self._open:
            return
        self._open.discard(digest)
        for cid in self.wanted[digest]:
            self.found[cid] = block
        for other, asked in self._peers.items():
            if other != peer and digest in asked.in_flight:
                self._release(other, (digest,))
        self._heard(peer, digest)
        if not self._open:
            self._changed.set()

    def take_missing(self, peer: ID, digest: bytes) -> None:
        """A peer does not have it."""
        if self._heard(peer, digest):
            self._peers[peer].told.add(digest)
            self._tried[digest].add(peer)
            self._owners[digest].discard(peer)
            self._again(digest)

    def take_present(self, peer: ID, digest: bytes) -> None:
        """A peer has it."""
        asked = self._peers.get(peer)
        if asked is not None and digest in asked.probed:
            asked.probed.discard(digest)
            asked.told.add(digest)
            self._owners[digest].add(peer)
            self._note_answer(asked)
            self._again(digest)

    def _heard(self, peer: ID, digest: bytes) -> bool:
        """Note what a peer has answered. False if it was not asked by this call."""
        asked = self._peers.get(peer)
        if asked is None or (digest not in asked.in_flight and digest not in asked.probed):
            return False
        asked.in_flight.pop(digest, None)
        asked.probed.discard(digest)
        self._note_answer(asked)
        return True

    def _note_answer(self, asked: _Asked) -> None:
        asked.answers += 1
        asked.heard_at = trio.current_time()
        asked.silent = False
        if not asked.in_flight:
            self._changed.set()

    # What is asked

    def _assign(self) -> None:
        """Ask for all that waits in the queue, of the best peers that have not been asked for it. What one of them did
        not have is asked of one that has it, or of one that usually does, or all are asked whether they have it."""
        orders: dict[ID, list[bytes]] = {}
        questions: dict[ID, list[bytes]] = {}
        standing = {peer: self._standing(peer) for peer in self._peers if self._exchange.usable(peer)}
        while self._queue:
            digest = self._queue.popleft()
            candidates = sorted(
                (peer not in self._owners[digest], self._peers[peer].silent, standing[peer], self._load(peer), n, peer)
                for n, peer in enumerate(standing)
                if peer not in self._tried[digest]
            )
            if digest not in self._open or not candidates:
                continue
            unsure, _, rank, _, _, best = candidates[0]
            if unsure and digest in self._peers[best].probed:
                continue
            if unsure and rank > 0 and self._tried[digest] and len(candidates) > 1:
                for *_, peer in candidates:
                    if digest not in self._peers[peer].probed:
                        questions.setdefault(peer, []).append(digest)
                        self._await_answer(peer).probed.add(digest)
            else:
                orders.setdefault(best, []).append(digest)
                self._note(best, digest)
        for peer, digests in orders.items():
            self._exchange.ask(peer, self._cids(digests))
        for peer, digests in questions.items():
            self._exchange.probe(peer, self._cids(digests))

    def _load(self, peer: ID) -> int:
        return len(self._peers[peer].in_flight)

    def _await_answer(self, peer: ID) -> _Asked:
        asked = self._peers[peer]
        if not asked.in_flight and not asked.probed:
            asked.heard_at = trio.current_time()
        return asked

    def _note(self, peer: ID, digest: bytes) -> None:
        self._await_answer(peer).in_flight[digest] = None
        self._tried[digest].add(peer)

    def _take_over(self) -> None:
        """Let those who have nothing to do take half of what the busiest peer has not delivered; those that we do not
        know yet take one block, which is asked of both."""
        for peer, asked in self._peers.items():
            standing = self._standing(peer)
            if asked.in_flight or asked.silent or standing > 1 or not self._exchange.usable(peer):
                continue
            busiest, slow = max(self._peers.items(), key=lambda item: len(item[1].in_flight))
            free = [digest for digest in slow.in_flight if self._could_take(peer, digest)]
            known = asked.answers > 0 or standing == 0
            taken = free[len(free) // 2 :] if known else free[-1:]
            if not taken or (len(free) == 1 and slow.answers):
                continue
            if slow.answers and known:
                self._release(busiest, taken)
                for digest in taken:
                    self._tried[digest].discard(busiest)
            for digest in taken:
                self._note(peer, digest)
            self._exchange.ask(peer, self._cids(taken))

    def _could_take(self, peer: ID, digest: bytes) -> bool:
        """Whether this peer may have it, and only one is asked for it."""
        asked_of = sum(digest in asked.in_flight for asked in self._peers.values())
        return peer not in self._tried[digest] and asked_of == 1

    def _look_after(self) -> None:
        """Look for peers that have gone, or that have said nothing for too long."""
        now = trio.current_time()
        for peer, asked in self._peers.items():
            if not asked.in_flight and not asked.probed:
                continue
            digests = {*asked.in_flight, *asked.probed}
            if not self._exchange.usable(peer):
                self._release(peer, tuple(asked.in_flight))
            elif not asked.silent and now - asked.heard_at >= self._patience_s:
                asked.silent = True
                self._exchange.was_silent(peer)
            else:
                continue
            for digest in asked.probed:
                self._tried[digest].add(peer)
            asked.probed.clear()
            for digest in digests:
                self._again(digest)

    def _again(self, digest: bytes) -> None:
        """Ask somebody else, unless somebody who answers is asked already."""
        busy = any(digest in asked.in_flight for asked in self._peers.values() if not asked.silent)
        if digest in self._open and not busy and digest not in self._queue:
            self._queue.append(digest)
            self._changed.set()

    def _release(self, peer: ID, digests: Iterable[bytes]) -> None:
        asked = self._peers[peer]
        released = [digest for digest in digests if digest in asked.in_flight]
        for digest in released:
            del asked.in_flight[digest]
        if released:
            self._exchange.release(peer, self._cids(released))

    def _cids(self, digests: Iterable[bytes]) -> list[Cid]:
        return [self.wanted[digest][0] for digest in digests]
