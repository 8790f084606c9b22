"""What we mend in libp2p 0.8.1, each as one small function with its reason.

Every function has a test that shows the fault in the library as it is, and so fails when upstream has mended it.
What is mended by our own subclasses (the gossip reader, the control messages) stands there, with its reason.
Issues of the library: https://github.com/libp2p/py-libp2p/issues.
"""

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio
from libp2p.crypto.keys import KeyPair as Libp2pKeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.config import RetryConfig
from libp2p.network.exceptions import SwarmException
from libp2p.network.health.ping_probe import ping_connection
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from multiaddr import Multiaddr

from node.net.errors import AddressInUse, CannotListen, MalformedAddress
from node.net.secured import NoiseTransport


def secure_transports(keys: Libp2pKeyPair) -> Mapping[str, Any]:
    """Noise alone. A new host also accepts plaintext, where a peer may claim any peer ID without proof."""
    return {NOISE: NoiseTransport(keys, noise_privkey=new_noise_key().private_key)}


def quiet_logging() -> None:
    """Keep the library's own log to itself, unless LIBP2P_DEBUG asks for it. It has no handler, so its warnings, which
    remote peers provoke at will and which carry tracebacks, go to stderr. We count these events instead."""
    if "LIBP2P_DEBUG" not in os.environ:
        for name in ("libp2p", "libp2p.network.auto_connector"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def dial_nobody_unasked(swarm: Any) -> None:
    """Leave all dialling to us. The auto-connector dials peers that are merely known, up to half of the connection
    limit, also with both watermarks at 0; and opening a stream to a peer that has just gone dials it, at addresses of
    its own choice, which gossip does again and again for peers that do not speak it. Both undo `forget`."""

    async def stay() -> None:
        pass

    new_stream = swarm.new_stream

    async def new_stream_if_connected(peer: Any) -> Any:
        if not swarm.get_connections(peer):
            raise SwarmException(f"no connection to {peer}")
        return await new_stream(peer)

    swarm.auto_connector.maybe_connect = stay
    swarm.new_stream = new_stream_if_connected


def resource_manager(max_connections: int) -> ResourceManager:
    """Plain limits. The circuit breaker and the degradation of a default manager let one peer's failures refuse
    everybody for a minute, and `max_connections=N` admits N − 1."""
    return ResourceManager(
        limits=ResourceLimits(max_connections=2 * max_connections + 1, max_streams=100 * max_connections),
        connection_limits=ConnectionLimits(),
        enable_metrics=False,
        enable_memory_limits=False,
        enable_circuit_breaker=False,
        enable_graceful_degradation=False,
        enable_rate_limiting=False,
    )


def check_listen_address(address: Multiaddr) -> None:
    """Raise AddressInUse or CannotListen unless we can listen there.

    The library binds with SO_REUSEPORT, so that two nodes on one port both start and each gets half of the
    connections; and of several addresses that fail it says nothing as long as one works.
    """
    protocols = [protocol.name for protocol in address.protocols()]
    if len(protocols) < 2 or protocols[0] not in ("ip4", "ip6") or protocols[1:] != ["tcp"]:
        raise MalformedAddress(f"cannot listen on {address}: only /ip4 or /ip6 with /tcp is known")
    family = socket.AF_INET if protocols[0] == "ip4" else socket.AF_INET6
    host = address.value_for_protocol(protocols[0])
    port = int(address.value_for_protocol("tcp"))
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(f"another process listens on {address}") from error
            raise CannotListen(f"cannot listen on {address}: {error.strerror}") from error


def dial_again_at_once(swarm: Any, peer: Any, addresses: Sequence[Multiaddr], ttl_s: int) -> None:
    """Make the next dial use exactly these addresses: one failed dial blocks a peer for 60 s, old addresses are tried
    before new ones, and retries inside a dial delay our own."""
    swarm.retry_config = RetryConfig(max_retries=0)
    swarm.unblock_peer(peer)
    swarm.peerstore.clear_addrs(peer)
    swarm.peerstore.add_addrs(peer, list(addresses), ttl_s)


def remember_addresses(host: Any, for_s: float) -> None:
    """Let the host work its addresses out every so often only. Gossip asks for them with each message, and building
    them from text again costs a fifth of publishing."""
    work_out = host.get_addrs
    kept: tuple[float, list[Multiaddr]] = (-for_s, [])

    def get_addrs() -> list[Multiaddr]:
        nonlocal kept
        if trio.current_time() - kept[0] >= for_s:
            kept = (trio.current_time(), work_out())
        return list(kept[1])

    host.get_addrs = get_addrs


def guard_streams(swarm: Any, admit: Callable[[Any], bool], failed: Callable[[Any, Exception], None]) -> None:
    """Put a wall around every stream handler: an error that one lets through ends the whole swarm.

    `admit` may refuse a stream that was just opened by a peer; `failed` gets what a handler raised.
    """
    handler: Callable[[Any], Awaitable[None]] = swarm.common_stream_handler

    async def guarded(stream: Any) -> None:
        if not admit(stream):
            await stream.reset()
            return
        try:
            await handler(stream)
        except Exception as error:  # noqa: BLE001 - the supervisor of all handlers, the library's own included
            failed(stream, error)
            await stream.reset()

    swarm.set_stream_handler(guarded)


def multiplex_by(swarm: Any, muxer: Callable[[Any, Any], Any]) -> None:
    """Put this muxer on each new connection. A host takes a muxer by its protocol, and for yamux then uses its own."""
    multistream = swarm.upgrader.muxer_multistream

    async def new_conn(conn: Any, peer: Any) -> Any:
        protocol, _ = await multistream._selector.select(conn, conn.is_initiator, multistream.negotiate_timeout)
        return multistream._annotate_connection(muxer(conn, peer), conn, protocol)

    multistream.new_conn = new_conn


def tell_of_connections_only(swarm: Any) -> None:
    """Tell nobody that a stream was opened or closed: nobody does anything with it, and each time costs a task for each
    who is told, a quarter of what a short stream costs."""
    notify = swarm._notify

    async def notify_unless_of_streams(method: str, *args: Any) -> None:
        if method not in ("opened_stream", "closed_stream"):
            await notify(method, *args)

    swarm._notify = notify_unless_of_streams


def count_from_now(pubsub: Any) -> None:
    """Let message numbers start at the time in nanoseconds. They start at whole seconds, so that peers take the first
    messages of a node that was restarted for ones that they have seen."""
    pubsub.counter = time.time_ns()


def widen_queue(queue: Any, size: int, dropped: Callable[[], None]) -> None:
    """Let a peer's outbound gossip queue hold `size` messages, not 32, and tell of each that it drops; it drops them
    with a debug line only."""
    queue._queue.max_size = size
    push = queue.push

    def counting_push(rpc: Any, priority: bool = False) -> bool:
        taken = bool(push(rpc, priority))
        if not taken:
            dropped()
        return taken

    queue.push = counting_push


def free_what_a_dial_held(swarm: Any) -> None:
    """Close the socket and free the place of a dial that is given up while it agrees on the cipher. The library keeps
    both, and once all places are taken this way nobody can connect any more, in or out."""
    upgrade = swarm.upgrade_outbound_raw_conn

    async def upgrade_or_free(raw: Any, peer: Any, place: Any = None) -> Any:
        try:
            return await upgrade(raw, peer, place)
        except BaseException:
            if place is not None:
                place.close()
            with trio.CancelScope(shield=True), contextlib.suppress(BaseLibp2pError, OSError):
                await raw.close()
            raise

    swarm.upgrade_outbound_raw_conn = upgrade_or_free


async def is_responsive(connection: Any, timeout_s: float) -> float | None:
    """The time in milliseconds of one ping on this very connection, or None if it fails.

    The library removes a silent peer only with its health monitor, which pings one connection after the other, so
    that a few silent peers delay it by minutes.
    """
    result = await ping_connection(connection, ping_timeout=timeout_s)
    return float(result.rtt_ms) if result.success else None


async def hang_up(connection: Any) -> None:
    """Close a connection whose other side may be silent: closing politely waits for it, so the socket goes first. The
    rest is not cut short: the library tells at its very end that the peer has gone, and nobody else does."""
    gone = (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
    with contextlib.suppress(*gone), trio.move_on_after(1):
        await connection.muxed_conn.secured_conn.close()
    with contextlib.suppress(*gone):
        await connection.close()
