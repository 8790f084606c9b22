"""Names in memory for the fake twin: its own, published or not, and one of another twin."""

from dataclasses import replace

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.content.errors import NameNotFound
from node.content.naming import Published
from node.content.resolving import Resolved
from protocols import ipns
from protocols.profile import Profile

HEAD = Cid.of(CODEC_DAG_JOSE, b"a head")
FRIEND = KeyPair(bytes([5]) * 32)


def published(keys: KeyPair, name: str, now_ms: int, *, sequence: int = 1) -> Published:
    """A name as it is published."""
    own = ipns.IpnsName(keys.public)
    profile = Profile(did=own.did, name=name, capabilities=("ask",), playbooks={"common": (HEAD,)}, updated_ms=now_ms)
    cid, _ = profile.to_block()
    until_ms = now_ms + 48 * 3_600_000
    raw = ipns.create_record(keys.sign, value=f"/ipfs/{cid}", sequence=sequence, valid_until_ms=until_ms, ttl_s=300)
    return Published(profile=profile, cid=cid, record=ipns.verify_record(own, raw, now_ms=now_ms), taken_by=1)


class FakeOwnName:
    def __init__(self, keys: KeyPair, now_ms: int) -> None:
        self.name = ipns.IpnsName(keys.public)
        self.current: Published | None = None
        self._keys = keys
        self._now_ms = now_ms

    async def publish(self) -> Published:
        sequence = self.current.record.sequence + 1 if self.current else 1
        self.current = replace(published(self._keys, "fake", self._now_ms, sequence=sequence), taken_by=sequence - 1)
        return self.current


class FakeRouting:
    """`Ada` is published, and whatever else is asked for is not known."""

    def __init__(self, keys: KeyPair, now_ms: int) -> None:
        self.own_name = FakeOwnName(keys, now_ms)
        self.names = self
        self._ada = published(FRIEND, "Ada", now_ms)

    async def find(self, text: str) -> ipns.IpnsName:
        return ipns.IpnsName(FRIEND.public) if text == "Ada" else ipns.parse_name(text)

    async def resolve(self, name: ipns.IpnsName) -> Resolved:
        if name != ipns.IpnsName(FRIEND.public):
            raise NameNotFound(f"nobody who can be reached knows what {name} stands for")
        ada = self._ada
        return Resolved(name=name, record=ada.record, cid=ada.cid, profile=ada.profile, problem=None)
