"""What an IPNS name stands for: asked of the twin itself where it is connected, else of the DHT.

A record proves itself, so it does not matter who gave it. Of each name the newest that was seen here is remembered, and
an older one does not take its place.
"""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did, PeerId
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_CBOR
from node.clock import NowMs, now_ms
from node.content.errors import NameNotFound
from node.content.naming import OwnName
from node.errors import NodeError
from node.net.errors import NetError
from node.net.port import Network
from protocols import ipns, limits
from protocols.errors import RemoteProtocolError, UnusableIpnsName
from protocols.profile import Profile

PEER_S: Final = 5.0
"""Time for the twin itself to answer."""

DHT_S: Final = 15.0
"""Time for the DHT to answer."""

MAX_IN_FLIGHT: Final = 4
"""Questions of one peer that are answered at one time: each costs nothing but its frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name stands for. `cid` is None if its path is no plain CID. Without a `profile`, `problem` says why."""

    name: ipns.IpnsName
    record: ipns.IpnsRecord
    cid: Cid | None
    profile: Profile | None
    problem: str | None


class Names:
    """Resolves names, and answers others who ask for ours.

    `read` gives a block from here or from whoever has it; `named` are the names of the twins that the owner named.
    """

    def __init__(
        self,
        *,
        own: OwnName,
        network: Network,
        read: Callable[[Cid], Awaitable[bytes]],
        named: Callable[[], Awaitable[Mapping[Did, str]]],
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._network = network
        self._read = read
        self._named = named
        self._now = now
        self._known: OrderedDict[ipns.IpnsName, tuple[ipns.IpnsRecord, int]] = OrderedDict()
        self.counters: Counter[str] = Counter()

    async def serve(self) -> None:
        """Let others ask for our record. To be called once. Raises NetworkDown."""
        await self._network.serve(
            ipns.PROTOCOL,
            self._answer,
            max_request_bytes=limits.MAX_DHT_KEY_BYTES,
            max_in_flight_per_peer=MAX_IN_FLIGHT,
        )

    async def find(self, text: str) -> ipns.IpnsName:
        """The name that `text` is: `me`, an IPNS name, a peer ID, a did:key, or what a twin that the owner named calls
        itself, in this order: none of them can take the name of another by calling itself so.

        Raises UnusableIpnsName.
        """
        if text == "me":
            return self._own.name
        try:
            return ipns.parse_name(text)
        except UnusableIpnsName:
            named = {} if text.startswith("did:") else await self._named()
            meant = [did for did, name in named.items() if name.casefold() == text.casefold()]
            if not meant:
                raise
        if len(meant) > 1:
            raise UnusableIpnsName(f"{len(meant)} twins that you named call themselves {text!r}: write the DID")
        return ipns.parse_name(meant[0])

    async def resolve(self, name: ipns.IpnsName) -> Resolved:
        """What the name stands for now, as far as can be found out. Raises NameNotFound."""
        own = self._own.current
        if name == self._own.name and own is not None:
            return Resolved(name=name, record=own.record, cid=own.cid, profile=own.profile, problem=None)
        record = await self._record_of(name)
        cid = _cid_of(record.value)
        profile, problem = await self._profile_at(cid, name)
        return Resolved(name=name, record=record, cid=cid, profile=profile, problem=problem)

    async def _profile_at(self, cid: Cid | None, name: ipns.IpnsName) -> tuple[Profile | None, str | None]:
        """The profile, or why there is none."""
        if cid is None or cid.codec != CODEC_DAG_CBOR:
            return None, "the name leads to something that is no twin's profile"
        try:
            profile = Profile.from_block(await self._read(cid))
        except RemoteProtocolError as error:
            return None, f"the name leads to something that is no twin's profile: {error}"
        except (NodeError, NetError) as error:
            return None, f"the profile cannot be had: {error}"
        return (profile, None) if profile.did == name.did else (None, "the profile is of another twin than its name")

    async def _record_of(self, name: ipns.IpnsName) -> ipns.IpnsRecord:
        now, (held, fresh_until_ms) = self._now(), self._known.get(name, (None, 0))
        if held is not None and now < min(fresh_until_ms, held.valid_until_ms):
            return held
        found = await self._ask_twin(name) or await self._ask_dht(name)
        held, _ = self._known.get(name, (None, 0))  # Another question may have found a newer one meanwhile.
        if held is not None and held.valid_until_ms > now and (found is None or held.newer_than(found)):
            found = held
        if found is None:
            raise NameNotFound(f"nobody who can be reached knows what {name} stands for")
        self._remember(name, found)
        return found

    async def _ask_twin(self, name: ipns.IpnsName) -> ipns.IpnsRecord | None:
        """Ask whoever holds the name's key, if it is connected."""
        if name.peer_id not in {info.peer_id for info in self._network.peers()}:
            return None
        try:
            raw = await self._network.request(name.peer_id, ipns.PROTOCOL, name.routing_key, timeout_s=PEER_S)
            return ipns.verify_record(name, raw, now_ms=self._now()) if raw else None
        except NetError:
            return None
        except RemoteProtocolError:
            self.counters["ipns_records_refused"] += 1
            return None

    async def _ask_dht(self, name: ipns.IpnsName) -> ipns.IpnsRecord | None:
        try:
            raw = await self._network.get_value(name.routing_key, timeout_s=DHT_S)
        except NetError:
            return None
        return ipns.verify_record(name, raw, now_ms=self._now()) if raw is not None else None

    def _remember(self, name: ipns.IpnsName, record: ipns.IpnsRecord) -> None:
        lasts_ms = int(min(record.ttl_s, limits.MAX_IPNS_TTL_S) * 1000)
        self._known[name] = (record, self._now() + lasts_ms)
        self._known.move_to_end(name)
        if len(self._known) > limits.MAX_RESOLVED_NAMES:
            self._known.popitem(last=False)

    async def _answer(self, peer: PeerId, asked: bytes) -> bytes:
        """Our record, if it is ours that is asked for; else nothing."""
        self.counters["ipns_questions"] += 1
        own = self._own.current
        return own.record.raw if own is not None and asked == self._own.name.routing_key else b""


def _cid_of(path: str) -> Cid | None:
    """The CID of a path that is nothing but one."""
    head, _, text = path.rpartition("/")
    if head != "/ipfs":
        return None
    try:
        return Cid.parse(text)
    except MalformedCid:
        return None
