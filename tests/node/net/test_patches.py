"""Each fault of libp2p 0.8.1 that we mend, twice: the library still has it, and with our patch it is gone.

A test named `test_the_library_…` fails once upstream has mended the fault: take the patch out then.
"""

import contextlib
import gc
import inspect
import os
import socket
import subprocess
import sys
import time
import types
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.ping import ID as PING
from libp2p.network.config import ConnectionConfig
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub import pubsub as library
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.score import PeerScorer, ScoreParams, TopicScoreParams
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.stream_muxer.yamux.yamux import MAX_WINDOW_SIZE, Yamux, YamuxStream
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from multiaddr import Multiaddr

from node.net import patches
from node.net.counters import Counters
from node.net.errors import AddressInUse, CannotListen, MalformedAddress
from node.net.gossip import Gossip
from node.net.gossip_router import MAX_WANTED_IDS, GossipRouter
from node.net.host import make_host
from node.net.settings import NetSettings
from node.net.streams import Inflow
from tests.node.net.support import TOPIC, new_keys

LISTEN = Multiaddr("/ip4/127.0.0.1/tcp/0")


@contextlib.asynccontextmanager
async def running(host: Any, *listen: Multiaddr) -> AsyncIterator[Any]:
    async with host.run(listen_addrs=listen or [LISTEN]):
        yield host
        for peer in tuple(host.get_network().connections):
            await host.disconnect(peer)


def info(host: Any) -> PeerInfo:
    return PeerInfo(host.get_id(), host.get_transport_addrs())


def some_peer() -> ID:
    return ID.from_pubkey(create_new_key_pair().public_key)


def new_gossip(settings: NetSettings | None = None, host: Any = None) -> Gossip:
    def deliver(topic: str, data: bytes, neighbour: str) -> None:
        pass

    return Gossip(host or new_host(), settings or NetSettings(), Inflow(), Counters(), deliver, lambda: 0)


def plaintext_host() -> Any:
    keys = create_new_key_pair()
    return new_host(key_pair=keys, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(keys)})


# Security


@pytest.mark.slow
def test_the_library_accepts_a_peer_in_plaintext() -> None:
    async def main() -> None:
        async with running(new_host()) as host, running(plaintext_host()) as peer:
            await peer.connect(info(host))

    trio.run(main)


@pytest.mark.slow
def test_we_refuse_a_peer_in_plaintext() -> None:
    async def main() -> None:
        async with running(make_host(new_keys(), NetSettings())) as host, running(plaintext_host()) as peer:
            with pytest.raises(BaseLibp2pError):
                await peer.connect(info(host))

    trio.run(main)


LOG = "import logging, libp2p; {}; logging.getLogger('libp2p.network.swarm').warning('from a remote')"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patch", "heard"), [("", True), ("from node.net import patches; patches.quiet_logging()", False)]
)
def test_the_librarys_log_goes_to_stderr_and_ours_keeps_it(patch: str, heard: bool) -> None:
    command = [sys.executable, "-c", LOG.format(patch or "pass")]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("from a remote" in process.stderr) == heard


# Connections


@pytest.mark.slow
@pytest.mark.parametrize("patched", [False, True])
def test_the_library_dials_peers_that_it_merely_knows_and_we_do_not(patched: bool) -> None:
    config = ConnectionConfig(low_watermark=0, min_connections=0)

    async def main() -> None:
        host = new_host(connection_config=config)
        if patched:
            patches.dial_nobody_unasked(host.get_network())
        async with running(new_host()) as other:
            host.get_peerstore().add_addrs(other.get_id(), other.get_transport_addrs(), 600)
            async with running(host):
                await host.get_network().auto_connector.maybe_connect()
                with trio.move_on_after(0.3 if patched else 10):
                    while not host.get_network().connections:  # noqa: ASYNC110 - the library has no event for it
                        await trio.sleep(0.01)
                assert bool(host.get_network().connections) == (not patched)

    trio.run(main)


@pytest.mark.slow
@pytest.mark.parametrize("patched", [False, True])
def test_the_library_dials_to_open_a_stream_and_we_do_not(patched: bool) -> None:
    async def main() -> None:
        host = new_host()
        if patched:
            patches.dial_nobody_unasked(host.get_network())
        async with running(host), running(new_host()) as other:
            await host.connect(info(other))
            await host.disconnect(other.get_id())
            if patched:
                with pytest.raises(SwarmException, match="no connection"):
                    await host.new_stream(other.get_id(), [PING])
            else:
                await host.new_stream(other.get_id(), [PING])
            assert bool(host.get_network().connections) == (not patched)
            await host.connect(info(other))
            await host.new_stream(other.get_id(), [PING])

    trio.run(main)


def test_the_library_shrinks_its_limits_after_an_attack_and_ours_stay() -> None:
    def attacked(manager: ResourceManager) -> int:
        limit: int = manager.limits.max_connections
        for _ in range(limit + 5):
            manager.acquire_connection(str(some_peer()))
        return limit - int(manager.limits.max_connections)

    assert attacked(ResourceManager(limits=ResourceLimits(max_connections=10))) > 0
    assert attacked(patches.resource_manager(10)) == 0


@pytest.mark.slow
def test_the_library_shares_a_busy_port_and_we_say_so() -> None:
    async def main() -> None:
        async with running(new_host()) as first:
            taken = Multiaddr(str(first.get_transport_addrs()[0]).partition("/p2p/")[0])
            async with running(new_host(), taken) as second:
                assert second.get_network().listeners, "both listen on one port"
            with pytest.raises(AddressInUse):
                patches.check_listen_address(taken)

    trio.run(main)


def test_a_free_address_can_be_listened_on_and_a_foreign_one_cannot() -> None:
    patches.check_listen_address(LISTEN)
    with pytest.raises(CannotListen):
        patches.check_listen_address(Multiaddr("/ip4/203.0.113.7/tcp/0"))
    with pytest.raises(MalformedAddress):
        patches.check_listen_address(Multiaddr("/ip4/127.0.0.1/udp/0"))


@pytest.mark.slow
@pytest.mark.parametrize("patched", [False, True])
def test_the_library_refuses_a_peer_after_one_failed_dial_and_we_do_not(patched: bool) -> None:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        address = Multiaddr(f"/ip4/127.0.0.1/tcp/{probe.getsockname()[1]}")

    async def main() -> None:
        later = new_host()
        target = PeerInfo(later.get_id(), [address])
        async with running(new_host()) as host:
            if patched:
                patches.dial_again_at_once(host.get_network(), target.peer_id, [address], 600)
            with pytest.raises(SwarmException):
                await host.connect(target)
            async with running(later, address):
                if patched:
                    patches.dial_again_at_once(host.get_network(), target.peer_id, [address], 600)
                    await host.connect(target)
                else:
                    with pytest.raises(SwarmException, match="negative cache"):
                        await host.connect(target)

    trio.run(main)


@pytest.mark.slow
def test_the_library_ends_when_a_handler_fails() -> None:
    async def main() -> None:
        async with running(new_host()) as host:
            await fail_in_a_handler(host)

    with pytest.raises(ExceptionGroup) as raised:
        trio.run(main)
    assert raised.group_contains(ZeroDivisionError)
    del raised
    with warnings.catch_warnings(action="ignore"):
        gc.collect()  # the sockets that such an end leaves open


@pytest.mark.slow
def test_we_survive_a_handler_that_fails() -> None:
    failures: list[Exception] = []

    async def main() -> None:
        host = new_host()
        patches.guard_streams(host.get_network(), lambda stream: True, lambda stream, error: failures.append(error))
        async with running(host):
            await fail_in_a_handler(host)

    trio.run(main)
    assert [type(error) for error in failures] == [ZeroDivisionError]


@pytest.mark.slow
def test_a_stream_that_is_not_admitted_is_reset() -> None:
    async def main() -> None:
        host = new_host()
        patches.guard_streams(host.get_network(), lambda stream: False, lambda stream, error: None)
        async with running(host), running(new_host()) as peer:
            await peer.connect(info(host))
            with pytest.raises(BaseLibp2pError):
                await peer.new_stream(host.get_id(), ["/ipfs/ping/1.0.0"])

    trio.run(main)


async def fail_in_a_handler(host: Any) -> None:
    async def handler(stream: Any) -> None:
        raise ZeroDivisionError

    host.set_stream_handler("/fail", handler)
    async with running(new_host()) as peer:
        await peer.connect(info(host))
        with trio.move_on_after(5), contextlib.suppress(BaseLibp2pError):
            stream = await peer.new_stream(host.get_id(), ["/fail"])
            while True:
                await stream.read(1)
        await trio.sleep(0.3)


def test_the_library_does_not_look_for_silent_peers_by_itself() -> None:
    assert ConnectionConfig().enable_health_monitoring is False


@pytest.mark.slow
def test_a_living_peer_is_responsive_and_hanging_up_ends_its_connection() -> None:
    async def main() -> None:
        async with running(new_host()) as host, running(new_host()) as peer:
            await peer.connect(info(host))
            (connection,) = peer.get_network().get_connections()
            latency_ms = await patches.is_responsive(connection, 5)
            assert latency_ms is not None
            await patches.hang_up(connection)
            assert connection.is_closed
            assert peer.get_network().get_connections() == []

    trio.run(main)


@pytest.mark.slow
@pytest.mark.parametrize("patched", [False, True], ids=["the_library_keeps_it", "and_we_free_it"])
def test_a_dial_that_is_given_up_inside_the_handshake(patched: bool) -> None:
    """The library keeps its place among the connections for ever, and the socket until the garbage is collected."""

    async def main() -> None:
        async with trio.open_nursery() as nursery, running(make_host(new_keys(), NetSettings())) as host:
            swarm = host.get_network()
            if patched:
                patches.free_what_a_dial_held(swarm)
            silent = await trio.open_tcp_listeners(0, host="127.0.0.1")
            ended = trio.Event()

            async def say_nothing(stream: trio.SocketStream) -> None:
                while await stream.receive_some():
                    pass
                ended.set()

            nursery.start_soon(trio.serve_listeners, say_nothing, silent)
            address = Multiaddr(f"/ip4/127.0.0.1/tcp/{silent[0].socket.getsockname()[1]}")
            with trio.move_on_after(0.2) as scope:
                await host.connect(PeerInfo(some_peer(), [address]))
            assert scope.cancelled_caught
            assert swarm._resource_manager._current_connections == (0 if patched else 1)
            if patched:
                with trio.fail_after(10):
                    await ended.wait()
            nursery.cancel_scope.cancel()

    with warnings.catch_warnings():
        warnings.simplefilter("error" if patched else "ignore", ResourceWarning)
        trio.run(main)
        gc.collect()


@pytest.mark.slow
def test_the_library_builds_its_addresses_anew_each_time_and_we_keep_them_a_while() -> None:
    async def main() -> None:
        async with running(new_host()) as host:
            stock = [host.get_addrs()[0] for _ in range(2)]
            assert stock[0] == stock[1]
            assert stock[0] is not stock[1]
            patches.remember_addresses(host, 60)
            ours = [host.get_addrs()[0] for _ in range(2)]
            assert ours[0] == stock[0]
            assert ours[0] is ours[1]
            patches.remember_addresses(host, 0)
            assert host.get_addrs() == ours[:1]

    trio.run(main)


# Gossip


def test_the_library_numbers_messages_by_the_second_and_we_by_the_nanosecond() -> None:
    stock = library.Pubsub(new_host(), GossipSub(["/meshsub/1.1.0"], 6, 4, 12))
    assert stock.counter <= time.time() < 1e12
    assert new_gossip().counter > 1e18


def test_the_librarys_queues_hold_32_and_ours_more_and_ours_tell_of_drops() -> None:
    queue, dropped = RpcQueue(), []
    assert [queue.push(rpc_pb2.RPC()) for _ in range(33)] == [True] * 32 + [False]
    assert library.SUBSCRIPTION_CHANNEL_SIZE == 32
    wide = RpcQueue()
    patches.widen_queue(wide, 40, lambda: dropped.append(1))
    assert [wide.push(rpc_pb2.RPC()) for _ in range(41)] == [True] * 40 + [False]
    assert dropped == [1]


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_fails_on_a_malformed_key_and_we_refuse_it(ours: bool) -> None:
    """In the library the error ends the whole service: it comes up in a task of its own."""
    message = rpc_pb2.Message(data=b"", topicIDs=[TOPIC], from_id=os.urandom(34), seqno=bytes(8))
    message.signature, message.key = b"x", os.urandom(40)

    async def main() -> None:
        gossip = new_gossip() if ours else library.Pubsub(new_host(), GossipSub(["/meshsub/1.1.0"], 6, 4, 12))
        gossip.subscribed_topics_receive[TOPIC] = None
        if ours:
            await gossip.push_msg(some_peer(), message)
            assert gossip._counters["gossip_refused_signature"] == 1
        else:
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the decoder raises
                await gossip.push_msg(some_peer(), message)

    trio.run(main)


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_forgets_the_topics_of_a_peer_that_is_still_connected_and_we_keep_them(ours: bool) -> None:
    gossip = new_gossip() if ours else library.Pubsub(new_host(), GossipSub(["/meshsub/1.1.0"], 6, 4, 12))
    peer = some_peer()
    gossip._peer_is_connected = lambda peer_id: True
    gossip._schedule_peer_stream_retry = lambda peer_id: None
    gossip.peers[peer] = None
    gossip.peer_topics[TOPIC] = {peer}
    gossip._handle_dead_peer(peer)
    assert gossip.peer_topics == ({TOPIC: {peer}} if ours else {})


def test_the_library_subtracts_the_weight_of_invalid_messages() -> None:
    peer = some_peer()
    scorer = PeerScorer(ScoreParams(p4_invalid_messages=TopicScoreParams(weight=1.0, cap=10.0)))
    scorer.on_invalid_message(peer, TOPIC)
    assert scorer.topic_score(peer, TOPIC) < 0
    assert GossipRouter().scorer.params.p4_invalid_messages.weight > 0


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_dials_whom_a_prune_names_and_we_do_not(ours: bool) -> None:
    gossip = new_gossip() if ours else library.Pubsub(new_host(), GossipSub(["/meshsub/1.1.0"], 6, 4, 12))
    named: list[Any] = []

    async def note(peers: Any) -> None:
        named.extend(peers)

    gossip.router._do_px = note
    gossip.router.mesh[TOPIC] = set()
    rpc = rpc_pb2.RPC()
    rpc.control.prune.add(topicID=TOPIC, peers=[rpc_pb2.PeerInfo(peerID=some_peer().to_bytes())])
    trio.run(gossip.router.handle_rpc, rpc, some_peer())
    assert len(named) == (0 if ours else 1)


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_answers_an_id_as_often_as_it_is_named_and_we_once(ours: bool) -> None:
    gossip = new_gossip() if ours else library.Pubsub(new_host(), GossipSub(["/meshsub/1.1.0"], 6, 4, 12))
    sent: list[Any] = []
    gossip.router.send_rpc = lambda peer, rpc, priority=False: sent.append(rpc)
    message = rpc_pb2.Message(data=b"x" * 1000, topicIDs=[TOPIC], from_id=b"author", seqno=bytes(8))
    gossip.router.mcache.put(message)
    rpc = rpc_pb2.RPC()
    rpc.control.iwant.add(messageIDs=[b"author" + bytes(8)] * 2 * MAX_WANTED_IDS)
    trio.run(gossip.router.handle_rpc, rpc, some_peer())
    assert [len(one.publish) for one in sent] == [1 if ours else 2 * MAX_WANTED_IDS]


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_skips_a_subscriber_that_is_not_in_the_mesh_yet_and_we_do_not(ours: bool) -> None:
    gossip = new_gossip() if ours else library.Pubsub(new_host(), GossipSub(["/meshsub/1.1.0"], 6, 4, 12))
    newcomer, author = some_peer(), some_peer()
    gossip.router.mesh[TOPIC] = set()
    gossip.router.add_peer(newcomer, "/meshsub/1.1.0")
    gossip.peer_topics[TOPIC] = {newcomer}
    for origin, forwarder in ((gossip.my_id, gossip.my_id), (author, author)):
        assert set(gossip.router._get_peers_to_send([TOPIC], forwarder, origin)) == ({newcomer} if ours else set())
    assert set(gossip.router._get_peers_to_send([TOPIC], author, newcomer)) == set(), "never back to its author"


def test_only_our_topics_are_noted() -> None:
    gossip = new_gossip()
    gossip._manager = types.SimpleNamespace(is_running=False)
    peer = some_peer()
    for topic in ("pagi-x", "other", "pagi-" + "x" * 300):
        gossip.handle_subscription(peer, rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic))
    assert set(gossip.peer_topics) == {"pagi-x"}
    assert gossip._counters["gossip_refused_topic"] == 2


# Streams


class Muxer:
    """Stands where a muxer is expected."""

    def __init__(self, conn: Any, peer: Any) -> None:
        self.conn, self.peer = conn, peer


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_muxes_by_its_own_yamux_whatever_it_is_given_and_we_by_ours(ours: bool) -> None:
    async def main() -> None:
        host = new_host(muxer_opt={YAMUX: Muxer})
        swarm = host.get_network()
        if ours:
            patches.multiplex_by(swarm, Muxer)
        selector = swarm.upgrader.muxer_multistream._selector

        async def select(*args: Any) -> Any:
            return YAMUX, Muxer

        selector.select = select
        conn = types.SimpleNamespace(is_initiator=True)
        muxed = await swarm.upgrader.upgrade_connection(conn, some_peer())
        assert type(muxed) is (Muxer if ours else Yamux)

    trio.run(main)


@pytest.mark.parametrize("ours", [False, True])
def test_the_library_starts_a_task_for_each_who_could_hear_of_a_stream_and_we_none(ours: bool) -> None:
    told: list[str] = []

    class Listener:
        async def opened_stream(self, network: Any, stream: Any) -> None:
            told.append("opened")

        async def closed_stream(self, network: Any, stream: Any) -> None:
            told.append("closed")

        async def disconnected(self, network: Any, conn: Any) -> None:
            told.append("disconnected")

    async def main() -> None:
        swarm = new_host().get_network()
        if ours:
            patches.tell_of_connections_only(swarm)
        swarm.notifees[:] = [Listener()]
        await swarm.notify_opened_stream(types.SimpleNamespace())
        await swarm.notify_closed_stream(types.SimpleNamespace())
        await swarm._notify("disconnected", None)

    trio.run(main)
    assert told == (["disconnected"] if ours else ["opened", "closed", "disconnected"])


def test_the_library_asks_again_and_again_whether_it_may_send() -> None:
    """It sleeps 10 ms between two looks, whenever a window is used up. Ours is woken: `yamux_stream`."""
    source = inspect.getsource(YamuxStream.write)
    assert "await trio.sleep(0.01)" in source


@pytest.mark.slow
def test_the_library_takes_more_than_it_has_allowed() -> None:
    """Ours ends the connection: `test_yamux`."""
    too_much = MAX_WINDOW_SIZE + 1024

    async def unread(stream: Any) -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with running(new_host()) as host, running(new_host()) as peer:
            host.set_stream_handler("/unread", unread)
            await peer.connect(info(host))
            stream = (await peer.new_stream(host.get_id(), ["/unread"])).muxed_stream
            (back,) = host.get_network().get_connections(peer.get_id())
            stream.send_window = too_much
            await stream.write(bytes(too_much))
            with trio.fail_after(10):
                while sum(map(len, back.muxed_conn.stream_buffers.values())) < too_much:  # noqa: ASYNC110 - no event
                    await trio.sleep(0.01)

    trio.run(main)


def _modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.slow
def test_the_library_imports_http_clients() -> None:
    assert {"httpx._client", "requests.api"} <= _modules_after("import libp2p")


@pytest.mark.slow
def test_the_http_clients_are_spared() -> None:
    loaded = _modules_after(
        "from node.net.spared_imports import spare_http_clients\nspare_http_clients()\nimport node.net.core"
    )
    assert "libp2p" in loaded
    assert not {"httpx._client", "requests.api"} & loaded


@pytest.mark.slow
def test_a_spared_module_is_loaded_when_it_is_used() -> None:
    loaded = _modules_after(
        "from node.net.spared_imports import spare_http_clients\nspare_http_clients()\n"
        "import requests\nassert requests.get.__module__ == 'requests.api'"
    )
    assert "requests.api" in loaded
