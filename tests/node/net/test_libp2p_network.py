"""The supervisor of the libp2p thread, and what is special about the real network."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from typing import Any

import pytest
from libp2p.exceptions import BaseLibp2pError

from node.net import connections, responder, streams
from node.net.errors import (
    AddressInUse,
    CannotListen,
    MalformedAddress,
    MessageTooLarge,
    NetError,
    NetworkDown,
    RemoteRefused,
    RemoteUnavailable,
)
from node.net.libp2p_network import Libp2pNetwork, open_network
from node.net.port import PeerConnected, PeerDisconnected
from node.net.settings import NetSettings
from node.net.streams import MAX_FRAME_BYTES
from tests.node.net.raw import as_raw_peer
from tests.node.net.support import LOOPBACK, TOPIC, Blocks, Inbox, new_keys, real, real_with, until

ECHO = "/pagi/test-echo/1.0"


async def echo(peer: str, payload: bytes) -> bytes:
    return payload


async def never(peer: str, payload: bytes) -> bytes:
    return await asyncio.get_running_loop().create_future()


def crash(network: Libp2pNetwork) -> None:
    """End the thread as a fault in the library would."""

    async def fault() -> None:
        raise RuntimeError("a fault inside")

    assert network._thread is not None
    assert network._thread._nursery is not None
    network._thread.submit(network._thread._nursery.start_soon, fault)


def test_importing_the_port_and_the_network_imports_no_libp2p() -> None:
    code = "import sys, node.net.port, node.net.libp2p_network as n; sys.exit('libp2p' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_thread_that_dies_is_restarted_with_all_that_it_had(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with real_with(NetSettings()) as network, real() as peer:
            inbox, theirs, events = Inbox(), Inbox(), network.peer_events()
            await network.subscribe(TOPIC, inbox)
            await peer.subscribe(TOPIC, theirs)
            await network.serve(ECHO, echo, max_request_bytes=1024, max_in_flight_per_peer=8)
            await network.dial(peer.addresses()[0])
            assert await anext(events) == PeerConnected(peer.peer_id)
            before = network.addresses()
            await peer.serve(ECHO, never, max_request_bytes=1024, max_in_flight_per_peer=8)
            hanging = asyncio.create_task(network.request(peer.peer_id, ECHO, b"", timeout_s=60))
            await until(network, "requests_sent")
            crash(network)
            with pytest.raises(NetworkDown):
                await hanging
            assert await anext(events) == PeerDisconnected(peer.peer_id)
            assert not network.alive
            with pytest.raises(NetworkDown):
                await network.publish(TOPIC, b"nobody is here")
            assert await anext(events) == PeerConnected(peer.peer_id)
            assert network.alive
            await until(network, "restarts")
            assert network.addresses() == before
            await network.publish(TOPIC, b"again")
            assert (await theirs.next()).data == b"again"
            await peer.publish(TOPIC, b"and back")
            assert (await inbox.next()).data == b"and back"
            assert await peer.request(network.peer_id, ECHO, b"served") == b"served"

    with caplog.at_level(logging.ERROR, logger="node.net.libp2p_network"):
        asyncio.run(main())
    assert [record.message for record in caplog.records] == ["The libp2p thread ended and is restarted."]


@pytest.mark.slow
def test_a_busy_port_is_named_also_when_libp2p_holds_it() -> None:
    async def main() -> None:
        async with real() as network:
            taken = network.addresses()[0].partition("/p2p/")[0]
            with pytest.raises(AddressInUse) as raised:
                async with open_network(new_keys(), listen=[taken], blocks=Blocks()):
                    pass
            assert taken in str(raised.value)
            assert raised.value.hint

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("listen", "error"),
    [
        ("/ip4/203.0.113.7/tcp/0", CannotListen),
        ("/ip4/127.0.0.1/udp/0", MalformedAddress),
        ("nonsense", MalformedAddress),
    ],
)
def test_an_address_that_cannot_be_listened_on(listen: str, error: type[Exception]) -> None:
    async def main() -> None:
        with pytest.raises(error):
            async with open_network(new_keys(), listen=[LOOPBACK, listen], blocks=Blocks()):
                pass

    asyncio.run(main())


@pytest.mark.slow
def test_wildcard_addresses_are_told_as_concrete_ones() -> None:
    async def main() -> None:
        async with open_network(new_keys(), listen=["/ip4/0.0.0.0/tcp/0"], blocks=Blocks()) as network:
            addresses = network.addresses()
            assert addresses
            assert not any("/0.0.0.0/" in address for address in addresses)
            async with real() as peer:
                assert await peer.dial(addresses[0]) == network.peer_id

    asyncio.run(main())


@pytest.mark.slow
def test_an_error_inside_the_context_comes_out_as_it_is_and_everything_ends() -> None:
    async def main() -> None:
        kept: list[Libp2pNetwork] = []
        ports: list[int] = []

        async def fail_inside() -> None:
            async with real_with(NetSettings()) as network:
                kept.append(network)
                ports.append(int(network.addresses()[0].split("/")[4]))
                raise KeyError("mine")

        with pytest.raises(KeyError):
            await fail_inside()
        with pytest.raises(NetworkDown):
            await kept[0].publish(TOPIC, b"")
        with contextlib.closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", ports[0])) != 0

    asyncio.run(main())


@pytest.mark.slow
def test_a_relay_forwards_topics_that_it_was_never_told_of() -> None:
    async def main() -> None:
        relay_settings = NetSettings(gossip_forwarder=True)
        async with real_with(relay_settings) as relay, real() as one, real() as two:
            inbox = Inbox()
            await one.subscribe("pagi-playbook-v1/hive", Inbox())
            await two.subscribe("pagi-playbook-v1/hive", inbox)
            await one.dial(relay.addresses()[0])
            await two.dial(relay.addresses()[0])
            await one.publish("pagi-playbook-v1/hive", b"a head")
            assert (await inbox.next()).data == b"a head"

    asyncio.run(main())


@pytest.mark.slow
def test_a_message_that_nobody_hears_is_counted() -> None:
    async def main() -> None:
        async with real() as network:
            await network.publish(TOPIC, b"alone")
            assert network.counters()["gossip_unheard"] == 1

    asyncio.run(main())


@pytest.mark.slow
def test_a_forgotten_peer_is_not_dialled_again() -> None:
    settings = NetSettings(redial_first_s=0.05, redial_max_s=0.05)

    async def main() -> None:
        async with real_with(settings) as network:
            events = network.peer_events()
            async with real() as peer:
                await network.dial(peer.addresses()[0])
                assert await anext(events) == PeerConnected(peer.peer_id)
            assert await anext(events) == PeerDisconnected(peer.peer_id)
            await until(network, "redials", 2)
            network.forget(peer.peer_id)
            with pytest.raises(MalformedAddress):
                await network.dial(network.addresses()[0])  # a round trip through the thread: forget has been done
            redials = network.counters()["redials"]
            await asyncio.sleep(0.3)
            assert network.counters()["redials"] <= redials + 1

    asyncio.run(main())


@pytest.mark.slow
def test_no_more_peers_than_the_limit_are_connected() -> None:
    async def main() -> None:
        async with real_with(NetSettings(max_connections=2)) as network, contextlib.AsyncExitStack() as stack:
            address = network.addresses()[0]
            for _ in range(4):
                peer = await stack.enter_async_context(real())
                with contextlib.suppress(NetError):
                    await peer.dial(address, timeout_s=5)
            assert len(network.peers()) <= 2
            assert network.counters()["peers_connected"] >= 2

    asyncio.run(main())


@pytest.mark.slow
def test_a_frame_that_is_never_finished_ends_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FRAME_S", 0.1)

    async def main() -> None:
        async def begin(host: Any, victim: Any) -> None:
            stream = await host.new_stream(victim, [ECHO])
            await stream.write(b"\x64half")
            with contextlib.suppress(BaseLibp2pError):
                await stream.read(1)

        async with real() as network:
            await network.serve(ECHO, echo, max_request_bytes=1024, max_in_flight_per_peer=3)
            await as_raw_peer(network.addresses()[0], begin)
            await until(network, "streams_timed_out")

    asyncio.run(main())


@pytest.mark.slow
def test_a_peer_has_a_bounded_number_of_streams() -> None:
    async def main() -> None:
        async def open_many(host: Any, victim: Any) -> None:
            for _ in range(responder.MAX_STREAMS + 3):
                with contextlib.suppress(BaseLibp2pError):
                    await host.new_stream(victim, [ECHO])

        async with real() as network:
            await network.serve(ECHO, echo, max_request_bytes=1024, max_in_flight_per_peer=3)
            await as_raw_peer(network.addresses()[0], open_many)
            await until(network, "streams_refused", 3)

    asyncio.run(main())


@pytest.mark.slow
def test_a_connection_with_too_much_unread_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_BUFFERED_BYTES", 10_000)

    async def main() -> None:
        async with real_with(NetSettings(ping_interval_s=0.2)) as network, real() as peer:
            await network.serve(ECHO, never, max_request_bytes=1024, max_in_flight_per_peer=1)
            await peer.dial(network.addresses()[0])
            asking = [asyncio.create_task(peer.request(network.peer_id, ECHO, bytes(1000))) for _ in range(200)]
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(result, RemoteUnavailable) for result in results)
            assert network.counters()["connections_overfull"] >= 1

    asyncio.run(main())


@pytest.mark.slow
def test_a_request_or_reply_that_is_too_large_is_ours_to_refuse() -> None:
    async def too_much(peer: str, payload: bytes) -> bytes:
        return bytes(MAX_FRAME_BYTES + 1)

    async def main() -> None:
        async with real() as one, real() as two:
            await two.serve(ECHO, too_much, max_request_bytes=1024, max_in_flight_per_peer=1)
            await one.dial(two.addresses()[0])
            with pytest.raises(MessageTooLarge):
                await one.request(two.peer_id, ECHO, bytes(MAX_FRAME_BYTES + 1))
            with pytest.raises(RemoteRefused):
                await one.request(two.peer_id, ECHO, b"")

    asyncio.run(main())


@pytest.mark.slow
def test_no_more_of_a_peers_requests_are_handled_at_once_than_agreed() -> None:
    async def main() -> None:
        running = most = 0
        release = asyncio.Event()
        full = asyncio.Event()

        async def count(peer: str, payload: bytes) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
            await release.wait()
            running -= 1
            return payload

        async with real() as one, real() as two:
            await two.serve(ECHO, count, max_request_bytes=1024, max_in_flight_per_peer=3)
            await one.dial(two.addresses()[0])
            asking = [asyncio.create_task(one.request(two.peer_id, ECHO, b"%d" % n)) for n in range(20)]
            await full.wait()
            release.set()
            assert await asyncio.gather(*asking) == [b"%d" % n for n in range(20)]
            assert most == 3

    asyncio.run(main())
