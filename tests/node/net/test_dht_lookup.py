"""The iterative lookup over networks in memory: it finds the closest servers, and ends whatever it is told."""

import random
from collections.abc import Iterable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from libp2p.peer.id import ID

from node.net.dht_lookup import K, Lookup, distance, target_of
from node.net.dht_wire import Peer
from protocols import limits

OWN = ID(b"\x12\x20" + bytes(32))


def peer(number: int) -> Peer:
    return Peer(ID(b"\x12\x20" + number.to_bytes(32)), ())


def ordered(peers: Iterable[Peer], key: bytes) -> list[Peer]:
    return sorted(peers, key=lambda one: distance(one.peer, target_of(key)))


def find(key: bytes, seeds: Iterable[Peer], knows: dict[Peer, list[Peer]]) -> tuple[list[Peer], list[Peer]]:
    """What a lookup finds, and whom it asked; those without an entry in `knows` do not answer."""
    asked: list[Peer] = []

    async def ask(one: Peer) -> list[Peer] | None:
        asked.append(one)
        await trio.lowlevel.checkpoint()
        return knows.get(one)

    async def main() -> list[Peer]:
        lookup = Lookup(key, seeds, ask, own=OWN)
        with trio.fail_after(20):
            await lookup.run()
        return lookup.closest

    return trio.run(main), asked


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=32))
def test_the_closest_of_many_are_found_by_asking_few(seed: int, key: bytes) -> None:
    """Each server knows the 20 closest to itself and 20 by chance, as full routing tables have it."""
    rng = random.Random(seed)
    everybody = [peer(number) for number in range(1, 400)]
    knows = {
        one: sorted(everybody, key=lambda other, one=one: one.peer.xor_id ^ other.peer.xor_id)[1:21]
        + rng.sample(everybody, 20)
        for one in everybody
    }
    closest, asked = find(key, rng.sample(everybody, 3), knows)
    wanted = ordered(everybody, key)[:K]
    assert len(set(closest) & set(wanted)) >= K - 2
    assert len(asked) == len(set(asked)) <= limits.MAX_DHT_ASKED


def test_servers_that_do_not_answer_are_passed_over() -> None:
    servers = [peer(number) for number in range(1, 10)]
    closest, asked = find(b"key", servers[:1], {servers[0]: servers, servers[5]: []})
    assert set(closest) == {servers[0], servers[5]}
    assert set(asked) == set(servers)


def test_nobody_to_begin_with_is_no_hang() -> None:
    assert find(b"key", [], {}) == ([], [])


def test_servers_that_name_ever_more_are_left_at_some_point() -> None:
    asked = 0

    async def ask(one: Peer) -> list[Peer]:
        nonlocal asked
        asked += 1
        return [peer(asked * 1000 + number) for number in range(limits.MAX_DHT_PEERS)]

    async def main() -> None:
        lookup = Lookup(b"key", [peer(1)], ask, own=OWN)
        with trio.fail_after(20):
            await lookup.run()

    trio.run(main)
    assert asked <= limits.MAX_DHT_ASKED + K


def test_we_are_not_asked_ourselves() -> None:
    one = peer(1)
    closest, asked = find(b"key", [one], {one: [Peer(OWN, ()), one]})
    assert closest == asked == [one]


def test_enough_ends_it() -> None:
    asked: list[Peer] = []

    async def ask(one: Peer) -> list[Peer]:
        asked.append(one)
        return [peer(len(asked) * 100 + number) for number in range(20)]

    async def main() -> None:
        await Lookup(b"key", [peer(1)], ask, own=OWN, enough=lambda: len(asked) >= 2).run()

    trio.run(main)
    assert 2 <= len(asked) <= 2 + 6
