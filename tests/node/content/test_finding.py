"""Searching for providers and dialling them, on a network in memory whose DHT says what a test wants."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import PeerId, did_key, peer_id
from identity.multibase import CODEC_RAW
from node.content.finding import Finder
from node.net.errors import NetworkDown, RemoteUnavailable
from node.net.port import PeerInfo, Provider
from node.trust import TrustList
from protocols import limits
from storage.database import Database
from storage.trust import Trust
from tests.node.parts import new_keys

CID = Cid.of(CODEC_RAW, b"something")
OURS = "/ip4/198.51.100.1/tcp/4801"  # documentation's, which counts as not global: so does what is near it


class Net:
    """What the finder uses of a network."""

    def __init__(self, providers: Sequence[Provider], own: str = OURS) -> None:
        self.providers = tuple(providers)
        self.connected: list[PeerId] = []
        self.dialled: list[str] = []
        self.searches = 0
        self.dead: set[str] = set()
        self.down = False
        self._own = own

    def addresses(self) -> tuple[str, ...]:
        return (f"{self._own}/p2p/{peer_id(new_keys().public)}",)

    def peers(self) -> tuple[PeerInfo, ...]:
        return tuple(PeerInfo(peer, None, (), None, relayed=False) for peer in self.connected)

    async def find_providers(self, cid: Cid, *, limit: int = 20, timeout_s: float = 10) -> tuple[Provider, ...]:
        self.searches += 1
        if self.down:
            raise NetworkDown("down")
        return self.providers

    async def dial(self, address: str, *, timeout_s: float = 10, keep: bool = True) -> PeerId:
        assert not keep, "a stranger's word must not keep us calling"
        self.dialled.append(address)
        await asyncio.sleep(0)
        if address in self.dead:
            raise RemoteUnavailable(address)
        peer = PeerId(address.rpartition("/p2p/")[2])
        self.connected.append(peer)
        return peer


def provider(*addresses: str, peer: PeerId | None = None) -> Provider:
    peer = peer or peer_id(new_keys().public)
    return Provider(peer, tuple(f"{address}/p2p/{peer}" for address in addresses))


def find(tmp_path: Path, net: Net, *, times: int = 1, trust: Trust | None = None, room: int = 32) -> tuple[Any, Any]:
    """What the last of so many searches found, and the finder's counters."""

    async def main() -> tuple[Any, Any]:
        async with Database.open(tmp_path / "node.db") as database:
            listed = await TrustList.load(database, did_key(new_keys().public))
            if trust is not None:
                await listed.put(trust)
            network: Any = net
            finder = Finder(network=network, trust=listed, max_connections=room)
            for _ in range(times):
                found = await finder.providers(CID)
            return list(found), finder.counters

    return asyncio.run(main())


def test_providers_are_called_and_those_that_are_connected_come_first(tmp_path: Path) -> None:
    far, near = provider("/ip4/8.8.8.8/tcp/4001"), provider()
    net = Net([far, near])
    net.connected.append(near.peer_id)
    found, _ = find(tmp_path, net)
    assert found == [near.peer_id, far.peer_id]
    assert net.dialled == [far.addresses[0]]


def test_a_provider_that_is_not_there_is_left_out_after_its_other_addresses(tmp_path: Path) -> None:
    gone, moved = provider("/ip4/8.8.8.8/tcp/4001"), provider("/ip4/8.8.4.4/tcp/1", "/ip4/1.1.1.1/tcp/2")
    net = Net([gone, moved])
    net.dead = {gone.addresses[0], moved.addresses[0]}
    assert find(tmp_path, net)[0] == [moved.peer_id]


@pytest.mark.parametrize(
    "address",
    ["/ip4/127.0.0.1/tcp/22", "/ip4/10.0.0.1/tcp/80", "/ip4/192.168.1.1/tcp/80", "/ip4/0.0.0.0/tcp/1", "/dns4/x/tcp/1"],
)
def test_a_strangers_private_doors_are_not_knocked_at(tmp_path: Path, address: str) -> None:
    net = Net([provider(address)])
    assert find(tmp_path, net)[0] == []
    assert net.dialled == []


def test_a_named_twin_is_called_in_our_own_network(tmp_path: Path) -> None:
    keys = new_keys()
    net = Net([provider("/ip4/10.0.0.1/tcp/4801", peer=peer_id(keys.public))])
    named = Trust(frozenset([did_key(keys.public)]), frozenset(), 1.0, auto_adopt=False)
    assert find(tmp_path, net, trust=named)[0] == [peer_id(keys.public)]


def test_a_blocked_twin_is_not_called(tmp_path: Path) -> None:
    keys = new_keys()
    net = Net([provider("/ip4/8.8.8.8/tcp/4801", peer=peer_id(keys.public))])
    blocked = Trust(frozenset(), frozenset([did_key(keys.public)]), 1.0, auto_adopt=False)
    assert find(tmp_path, net, trust=blocked)[0] == []
    assert net.dialled == []


def test_few_of_many_are_called_and_one_host_not_more_often_than_it_may_be(tmp_path: Path) -> None:
    net = Net([provider(f"/ip4/8.8.8.{number}/tcp/1") for number in range(100)])
    found, counters = find(tmp_path, net)
    assert len(found) == counters["provider_dials"] == limits.MAX_PROVIDER_DIALS

    crowd = Net([provider(*(f"/ip4/9.9.9.9/tcp/{port}" for port in range(1, 20))) for _ in range(100)])
    crowd.dead = {address for one in crowd.providers for address in one.addresses}
    _, counters = find(tmp_path, crowd)
    assert len(crowd.dialled) == limits.KNOCKS_BURST
    assert counters["provider_dials_refused"] == limits.MAX_PROVIDER_DIALS * limits.MAX_STRANGER_ADDRESSES - len(
        crowd.dialled
    )


def test_with_company_enough_no_more_strangers_are_called(tmp_path: Path) -> None:
    net = Net([provider("/ip4/8.8.8.8/tcp/1")])
    net.connected = [peer_id(new_keys().public) for _ in range(4)]
    assert find(tmp_path, net, room=4)[0] == []


def test_what_was_found_or_not_is_remembered_for_a_while(tmp_path: Path) -> None:
    for net in (Net([provider("/ip4/8.8.8.8/tcp/1")]), Net([])):
        _, counters = find(tmp_path, net, times=5)
        assert net.searches == counters["provider_searches"] == 1


def test_a_network_that_is_down_finds_nobody_and_is_asked_again(tmp_path: Path) -> None:
    net = Net([provider("/ip4/8.8.8.8/tcp/1")])
    net.down = True
    assert find(tmp_path, net, times=2)[0] == []
    assert net.searches == 2
