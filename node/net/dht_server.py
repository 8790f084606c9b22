"""The DHT's server: keeps provider records and IPNS records for others, and says which other servers there are.

Runs on the trio side. A request is answered on its own stream, and `add_provider` with nothing, as Kubo does: one that
does not read an answer and asks again on the same stream would take it for that of its next question.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import trio
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.peer.id import ID

from node.clock import now_ms
from node.net import dht_wire as wire
from node.net.counters import Counters
from node.net.dht_records import DhtRecords
from node.net.streams import FrameReader, Inflow, drop
from protocols import ipns, limits
from protocols.errors import MalformedMessage, RemoteProtocolError
from protocols.ratelimit import KeyedBuckets, TokenBucket

IDLE_S: Final = 60.0
"""A stream without requests is ended after this time."""

WRITE_S: Final = 10.0
"""A peer must take an answer within this time."""

PACE_S: Final = 0.1
"""How long a peer that asks too much is not read from."""

Closest = Callable[[bytes], list[wire.Peer]]
"""The servers that we know whose names are closest to a key."""


class DhtServer:
    """Answers on `PROTOCOL` and `LAN_PROTOCOL` of a host, from one store for both."""

    def __init__(
        self,
        host: Any,
        inflow: Inflow,
        counters: Counters,
        closest: Closest,
        *,
        records: DhtRecords,
    ) -> None:
        self._inflow = inflow
        self._counters = counters
        self._closest = closest
        self._providers = records.providers
        self._values = records.values
        self._streams: Counter[ID] = Counter()
        self._rates = KeyedBuckets(limits.DHT_REQUESTS_PER_S, limits.DHT_REQUESTS_BURST, limits.MAX_RATED_KEYS)
        self._all = TokenBucket(limits.DHT_ALL_REQUESTS_PER_S, limits.DHT_ALL_REQUESTS_BURST)
        for protocol in (wire.PROTOCOL, wire.LAN_PROTOCOL):
            host.set_stream_handler(protocol, self._handle)

    async def _handle(self, stream: Any) -> None:
        peer = stream.muxed_conn.peer_id
        if self._streams[peer] >= limits.MAX_DHT_STREAMS:
            self._counters.add("streams_refused")
            await stream.reset()
            return
        self._streams[peer] += 1
        try:
            with FrameReader(stream, self._inflow, limits.MAX_DHT_REQUEST_BYTES, idle_s=IDLE_S) as frames:
                await self._converse(peer, stream, frames)
        except RemoteProtocolError:
            self._counters.add("dht_requests_refused")
            await drop(stream)
        except (trio.TooSlowError, StreamError):
            await drop(stream)
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    async def _converse(self, peer: ID, stream: Any, frames: FrameReader) -> None:
        while True:
            try:
                requests = await frames.read()
            except StreamEOF:
                if frames.pending:
                    raise MalformedMessage("the stream ended inside a message") from None
                await stream.close()
                return
            for request in requests:
                while not self._has_turn(peer):
                    self._counters.add("dht_paced")
                    await trio.sleep(PACE_S)
                answer = self._answer(peer, wire.parse(request))
                self._counters.add("dht_requests_served")
                if answer is not None:
                    with trio.fail_after(WRITE_S):
                        await stream.write(answer)

    def _has_turn(self, peer: ID) -> bool:
        """Whether the peer may be answered now, by its own rate and by that of all together."""
        now_s = trio.current_time()
        if not self._rates.allow(peer, now_s):
            return False
        if self._all.allow(now_s):
            return True
        self._rates.give_back(peer)
        return False

    def _answer(self, peer: ID, asked: wire.Incoming) -> bytes | None:
        """The framed answer, or None where there is none. Raises RemoteProtocolError for what is refused."""
        key, now_s = asked.key, time.monotonic()
        if asked.kind == "ping":
            return wire.write("ping", b"")
        if not key:
            raise MalformedMessage("a request of the DHT without a key")
        closer = [other for other in self._closest(key) if other.peer != peer]
        if asked.kind == "find_node":
            return wire.write("find_node", b"", closer=closer)
        if asked.kind == "get_providers":
            return wire.write("get_providers", key, closer=closer, providers=self._providers.get(key, now_s))
        if asked.kind == "get_value":
            held = self._values.get(key, now_s=now_s, now_ms=now_ms())
            return wire.write("get_value", key, value=held.raw if held else None, closer=closer)
        if asked.kind == "put_value":
            self._keep_value(peer, asked)
            return wire.write("put_value", key, value=asked.value)
        self._keep_provider(peer, asked)
        return None

    def _keep_provider(self, peer: ID, asked: wire.Incoming) -> None:
        """Take what a peer says of itself; what it says of others is left alone, as the specification asks."""
        own = next((provider for provider in asked.providers if provider.peer == peer), None)
        if own is None:
            raise MalformedMessage("a provider record of somebody else")
        readable = tuple(address for address in own.addresses if wire.read_addresses([address], peer))
        if not self._providers.add(asked.key, wire.Peer(peer, readable), time.monotonic()):
            self._counters.add("dht_records_refused")
            raise MalformedMessage("more provider records than one peer may have here")
        self._counters.add("dht_provider_records_taken")

    def _keep_value(self, peer: ID, asked: wire.Incoming) -> None:
        if asked.value is None:
            raise MalformedMessage("nothing to store")
        record = ipns.verify_value(asked.key, asked.value, now_ms=now_ms())
        if not self._values.put(asked.key, record, peer, now_s=time.monotonic(), now_ms=now_ms()):
            self._counters.add("dht_records_refused")
            raise MalformedMessage("an older record than the one that is held, or too many of this peer")
        self._counters.add("dht_values_taken")
