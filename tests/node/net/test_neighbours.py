"""Finding twins on the local network, here on the loopback interface alone."""

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net import neighbours
from node.net.neighbours import MAX_ADDRESSES, ipv4_of, read_txt, write_txt
from node.net.settings import NetSettings
from tests.node.net.support import real_with

PEER = "12D3KooWEHdAgXnUm2qKb9G3K2SjBnYLba9sHZDG5ibMA22vrm1t"

_v4 = st.ip_addresses(v=4).filter(lambda ip: not ip.is_unspecified)
_v6 = st.ip_addresses(v=6).filter(lambda ip: not ip.is_unspecified)
_addresses = st.builds(
    lambda ip, port: f"/ip{ip.version}/{ip}/tcp/{port}/p2p/{PEER}", st.one_of(_v4, _v6), st.integers(1, 65535)
)


@given(st.lists(_addresses, max_size=MAX_ADDRESSES))
def test_what_is_announced_is_read_again(addresses: list[str]) -> None:
    assert list(read_txt(write_txt(addresses))) == addresses


@given(st.binary(max_size=2000))
def test_a_record_of_anybody_gives_only_usable_addresses(record: bytes) -> None:
    found = list(read_txt(record))
    assert len(found) <= MAX_ADDRESSES
    for address in found:
        ipaddress.ip_address(address.split("/")[2])


@pytest.mark.parametrize(
    "address",
    [
        f"/ip4/0.0.0.0/tcp/4801/p2p/{PEER}",
        f"/ip6/::/tcp/4801/p2p/{PEER}",
        f"/ip4/somewhere/tcp/4801/p2p/{PEER}",
        f"/dns4/example.org/tcp/4801/p2p/{PEER}",
        f"/ip4/10.0.0.1/udp/4801/quic-v1/p2p/{PEER}",
        "/ip4/10.0.0.1/tcp/4801",
        "/ip4/10.0.0.1/tcp/4801/p2p/",
    ],
)
def test_an_address_that_cannot_be_dialled_is_left_out(address: str) -> None:
    good = f"/ip4/10.0.0.1/tcp/4801/p2p/{PEER}"
    assert list(read_txt(write_txt([address, good]))) == [good]


def test_a_record_is_bounded_and_its_strings_fit() -> None:
    good = f"/ip4/10.0.0.1/tcp/4801/p2p/{PEER}"
    assert len(list(read_txt(write_txt([good] * 50)))) == MAX_ADDRESSES
    assert write_txt(["/" + "x" * 300]) == b""
    assert list(read_txt(write_txt([good])[:-1])) != [good], "a record that was cut off"


def test_only_the_interfaces_that_we_listen_on_are_used() -> None:
    listening = [f"/ip4/{ip}/tcp/4801/p2p/{PEER}" for ip in ("10.0.0.1", "10.0.0.1", "192.168.7.9")]
    assert ipv4_of([*listening, f"/ip6/fe80::1/tcp/4801/p2p/{PEER}"]) == ["10.0.0.1", "192.168.7.9"]


@pytest.mark.slow
def test_two_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CHECK_S", 0.05)

    async def main() -> None:
        settings = NetSettings(mdns=True)
        async with real_with(settings) as one, real_with(settings) as other, asyncio.timeout(30):
            async for event in one.peer_events():
                if event.peer_id == other.peer_id:
                    break

    asyncio.run(main())


@pytest.mark.slow
def test_a_network_that_does_not_let_us_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*_: object, **__: object) -> None:
            loop.call_soon_threadsafe(tried.set)
            raise OSError("Network is unreachable")

        monkeypatch.setattr(neighbours, "Zeroconf", refuse)
        monkeypatch.setattr(neighbours, "CHECK_S", 0.01)
        async with real_with(NetSettings(mdns=True)) as network, asyncio.timeout(30):
            for _ in range(3):
                await tried.wait()
                tried.clear()
            assert network.alive

    asyncio.run(main())
