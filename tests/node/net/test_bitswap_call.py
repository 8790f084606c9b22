"""Who is asked for what: a call over peers that are scripted, on a clock that jumps."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.net.bitswap_call import PATIENCE_S, Call

RTT_S = 0.01


class Peer:
    """Has some blocks, and gives one after the other, each `block_s` after the one before."""

    def __init__(self, has: Sequence[Cid] = (), *, block_s: float = 0.001, silent: bool = False) -> None:
        self.id = ID.from_pubkey(create_new_key_pair().public_key)
        self.has = set(has)
        self.block_s = block_s
        self.silent = silent
        self.connected = True
        self.standing = 1
        self.asked: list[Cid] = []
        self.probed: list[Cid] = []
        self.unwanted: list[Cid] = []
        self.given: list[Cid] = []


class Swarm:
    """The exchange that a call sees."""

    def __init__(self, nursery: trio.Nursery, peers: Sequence[Peer]) -> None:
        self._nursery = nursery
        self._peers = {peer.id: peer for peer in peers}
        self.call: Any = None
        self.silent: list[ID] = []

    def usable(self, peer: ID) -> bool:
        return self._peers[peer].connected

    def standing(self, peer: ID) -> int:
        return self._peers[peer].standing

    def was_silent(self, peer: ID) -> None:
        self.silent.append(peer)

    def ask(self, peer: ID, cids: Sequence[Cid]) -> None:
        self._peers[peer].asked += cids
        self._nursery.start_soon(self._give, self._peers[peer], tuple(cids))

    def probe(self, peer: ID, cids: Sequence[Cid]) -> None:
        self._peers[peer].probed += cids
        self._nursery.start_soon(self._tell, self._peers[peer], tuple(cids))

    def release(self, peer: ID, cids: Sequence[Cid]) -> None:
        self._peers[peer].unwanted += cids

    def withdraw(self, peer: ID, cids: Sequence[Cid]) -> None:
        pass

    async def _give(self, peer: Peer, cids: Sequence[Cid]) -> None:
        await trio.sleep(RTT_S)
        for cid in cids:
            if peer.silent or cid in peer.unwanted:
                continue
            if cid in peer.has:
                await trio.sleep(peer.block_s)
                peer.given.append(cid)
                self.call.take_block(peer.id, cid.digest, b"block")
            else:
                self.call.take_missing(peer.id, cid.digest)

    async def _tell(self, peer: Peer, cids: Sequence[Cid]) -> None:
        await trio.sleep(RTT_S)
        for cid in cids if not peer.silent else ():
            (self.call.take_present if cid in peer.has else self.call.take_missing)(peer.id, cid.digest)


def some(count: int) -> list[Cid]:
    return [Cid.of(CODEC_RAW, os.urandom(8)) for _ in range(count)]


def fetch(
    cids: Sequence[Cid], peers: Sequence[Peer], *, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> tuple[set[Cid], float]:
    """What was found, and after how many seconds."""

    async def main() -> tuple[set[Cid], float]:
        async with trio.open_nursery() as nursery:
            swarm = Swarm(nursery, peers)
            call = swarm.call = Call(swarm, cids, [peer.id for peer in peers], 60.0)
            if meanwhile is not None:
                nursery.start_soon(meanwhile)
            begun = trio.current_time()
            with trio.move_on_after(60):
                await call.run()
            call.give_up()
            took_s = trio.current_time() - begun
            nursery.cancel_scope.cancel()
        return set(call.found), took_s

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_one_peer_is_asked_for_all_in_one_message() -> None:
    cids = some(64)
    owner = Peer(cids)
    found, _ = fetch(cids, [owner])
    assert found == set(cids)
    assert owner.asked == cids


def test_several_that_nobody_knows_share_the_work() -> None:
    cids = some(60)
    peers = [Peer(cids) for _ in range(3)]
    found, _ = fetch(cids, peers)
    assert found == set(cids)
    assert sum(len(peer.given) for peer in peers) == 60, "nothing was given twice"
    assert all(len(peer.given) >= 15 for peer in peers)


def test_who_delivers_is_asked_and_the_others_are_left_alone() -> None:
    cids = some(20)
    stranger, good, bad = Peer(cids), Peer(cids), Peer(cids)
    good.standing, bad.standing = 0, 2
    found, _ = fetch(cids, [bad, stranger, good])
    assert found == set(cids)
    assert (len(good.asked), stranger.asked, bad.asked) == (20, [], [])


def test_what_one_does_not_have_comes_from_another() -> None:
    cids = some(30)
    halves = [Peer(cids[:15]), Peer(cids[15:])]
    found, _ = fetch(cids, halves)
    assert found == set(cids)


@pytest.mark.parametrize("count", [1, 40])
def test_one_owner_among_many_is_found_in_a_few_round_trips(count: int) -> None:
    cids = some(count)
    peers = [Peer() for _ in range(50)]
    peers[31] = Peer(cids)
    found, took_s = fetch(cids, peers)
    assert found == set(cids)
    assert took_s < 5 * RTT_S + count * 0.001, "fifty peers are not asked one after the other"


def test_what_nobody_has_is_given_up_when_all_have_said_so() -> None:
    cids = some(10)
    found, took_s = fetch([*cids, *some(3)], [Peer(cids) for _ in range(5)])
    assert found == set(cids)
    assert took_s < 10 * RTT_S


def test_nobody_to_ask() -> None:
    gone = Peer()
    gone.connected = False
    assert fetch(some(3), [gone]) == (set(), 0.0)
    assert fetch(some(3), []) == (set(), 0.0)
    assert fetch([], [Peer()]) == (set(), 0.0)


@pytest.mark.parametrize("count", [1, 64])
def test_a_silent_peer_costs_no_more_than_its_patience(count: int) -> None:
    cids = some(count)
    found, took_s = fetch(cids, [Peer(silent=True), Peer(cids)])
    assert found == set(cids)
    assert took_s <= PATIENCE_S + 0.5


def test_all_silent_and_one_that_knows_who_has_it() -> None:
    cids = some(3)
    found, took_s = fetch(cids, [*(Peer(silent=True) for _ in range(5)), Peer(cids)])
    assert found == set(cids)
    assert took_s <= 2 * PATIENCE_S + 0.5


def test_a_silent_peer_alone_is_waited_for() -> None:
    found, took_s = fetch(some(3), [Peer(silent=True)])
    assert (found, took_s) == (set(), 60.0)


def test_who_is_done_takes_over_from_who_is_slow() -> None:
    cids = some(64)
    slow, quick = Peer(cids, block_s=0.5), Peer(cids, block_s=0.005)
    found, took_s = fetch(cids, [slow, quick])
    assert found == set(cids)
    assert took_s < 3, "the slow one alone would need 16 s for its half"
    assert len(slow.given) + len(quick.given) <= 64 + 4, "hardly any was given twice"


def test_an_unknown_peer_helps_a_good_one_that_is_slow() -> None:
    cids = some(64)
    good, stranger = Peer(cids, block_s=0.2), Peer(cids, block_s=0.005)
    good.standing = 0
    found, took_s = fetch(cids, [good, stranger])
    assert found == set(cids)
    assert took_s < 6, "alone it would need 13 s"


def test_what_a_peer_that_goes_owes_is_asked_of_another() -> None:
    cids = some(20)
    going, staying = Peer(cids, silent=True), Peer(cids)

    async def go() -> None:
        await trio.sleep(0.005)
        going.connected = False

    found, took_s = fetch(cids, [going, staying], meanwhile=go)
    assert found == set(cids)
    assert took_s < PATIENCE_S


def test_what_comes_from_two_is_cancelled_at_the_one_that_is_late() -> None:
    (cid,) = cids = some(1)
    late, quick = Peer(silent=True), Peer(cids)
    fetch(cids, [late, quick])
    assert late.unwanted == [cid]


def test_two_names_of_the_same_bytes_cost_one_block() -> None:
    raw = Cid.of(CODEC_RAW, b"{}")
    other = Cid(0x0129, raw.digest)
    owner = Peer([raw])
    found, _ = fetch([raw, other], [owner])
    assert found == {raw, other}
    assert owner.asked == [raw]
