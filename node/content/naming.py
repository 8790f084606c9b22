"""This twin's own IPNS name: its profile as a block, and the signed record that leads there.

The name is the twin's key. Whenever the profile changes, and some time before the record ends, a new record is made:
the block and the record are on disk before anybody hears of them. Its sequence number is the time in seconds, or one
more than the highest that was seen, so that a twin which was restored from an old backup does not fall behind itself.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import base64url, from_base64url
from node.clock import NowMs, now_ms
from node.content.servers import Told
from node.holding import holding
from node.net.errors import NetworkDown
from node.net.port import Network
from protocols import ipns, limits
from protocols.errors import ProtocolError
from protocols.profile import Profile
from storage import meta, pins
from storage.blocks import BlockStore
from storage.database import Database

CHECK_S: Final = 5.0
"""How often the profile is compared with the one that was published: what changes many times is published once."""

VALID_MS: Final = 48 * 3600 * 1000
"""How long a record is valid: as long as servers keep it."""

RENEW_BEFORE_MS: Final = 24 * 3600 * 1000
"""With less left a new record is made."""

TELL_AGAIN_MS: Final = 4 * 3600 * 1000
"""How often the same record is told again, as Kubo does: servers come and go."""

TELL_NOBODY_MS: Final = 10 * 60 * 1000
"""How long a record that nobody took waits for its next turn."""

TTL_S: Final = 300
"""How long others may use what they have found without asking again (Kubo's own choice)."""

SEEN_S: Final = 10.0
"""Time to ask what the DHT has under our name."""

PIN_NAME: Final = "profile"

_META: Final = "ipns"

Heads = Callable[[], Mapping[str, Sequence[Cid]]]
"""The playbooks of this twin, each with its heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What our name stands for now. `taken_by` is how many servers took the record when it was last told."""

    profile: Profile
    cid: Cid
    record: ipns.IpnsRecord
    taken_by: int = 0


class OwnName:
    """`run` keeps the name published; `current` is what it stands for, None until it was published once."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        name: str,
        capabilities: Sequence[str],
        heads: Heads,
        store: BlockStore,
        database: Database,
        network: Network,
        now: NowMs = now_ms,
        check_s: float = CHECK_S,
    ) -> None:
        self.name: Final = ipns.IpnsName(keys.public)
        self._keys = keys
        self._called = name
        self._capabilities = tuple(capabilities)
        self._heads = heads
        self._store = store
        self._database = database
        self._network = network
        self._now = now
        self._check_s = check_s
        self._lock = asyncio.Lock()
        self._told_ms = 0
        self._told = Told(network)
        self._asked = False
        self._seen = 0
        self._pinned: Cid | None = None
        self.current: Published | None = None
        self.counters: Counter[str] = Counter()

    async def load(self) -> None:
        """Take up what was published before. To be called once, before anything else."""
        text = await self._database.read(lambda conn: meta.get(conn, _META))
        if text is None:
            return
        kept = json.loads(text)
        self._pinned = Cid.parse(kept["cid"])
        if kept["name"] != str(self.name):
            return  # the twin has a new key since, and with it a new name
        self._seen = kept["sequence"]
        try:
            record = ipns.verify_record(self.name, from_base64url(kept["record"]), now_ms=0)
            block = await asyncio.to_thread(self._store.get, self._pinned)
            if block is not None:
                self.current = Published(profile=Profile.from_block(block), cid=self._pinned, record=record)
        except ProtocolError:
            return  # made by a version that this one does not understand: it is published anew

    async def run(self) -> None:
        """Publish at the start, on change and before the record ends, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._told.watch())
            while True:
                with contextlib.suppress(NetworkDown):
                    await self._publish_if_due()
                await asyncio.sleep(self._check_s)

    async def publish(self) -> Published:
        """Make a new record now, and tell it. It is on disk when this returns, whether or not anybody took it.

        Raises StorageError.
        """
        async with self._lock:
            await self._look_what_was_seen()
            current = await self._renew(self._profile())
            try:
                return await self._tell()
            except NetworkDown:
                return current

    async def _publish_if_due(self) -> None:
        async with self._lock:
            profile = self._profile()
            await self._look_what_was_seen()
            if self.current is None or profile != self.current.profile or self._is_outdated(self.current.record):
                await self._renew(profile)
                await self._tell()
                return
            all_told = self._told.all_of(await self._network.dht_servers())
            wait_ms = TELL_AGAIN_MS if self.current.taken_by else TELL_NOBODY_MS
            if not all_told or not 0 <= self._now() - self._told_ms < wait_ms:
                await self._tell()

    def _is_outdated(self, record: ipns.IpnsRecord) -> bool:
        return record.valid_until_ms - self._now() < RENEW_BEFORE_MS or record.sequence < self._seen

    def _profile(self) -> Profile:
        """The profile as it is now. `updated_ms` stays while nothing else has changed."""
        heads = self._heads()
        playbooks = {
            name: tuple(heads[name])[: limits.MAX_PROFILE_HEADS]
            for name in sorted(heads)[: limits.MAX_PROFILE_PLAYBOOKS]
            if heads[name]
        }
        profile = Profile(
            did=self.name.did,
            name=self._called,
            capabilities=self._capabilities,
            playbooks=playbooks,
            updated_ms=self._now(),
        )
        if self.current is None:
            return profile
        before = self.current.profile
        return before if replace(profile, updated_ms=before.updated_ms) == before else profile

    async def _renew(self, profile: Profile) -> Published:
        """Put the profile and a new record on disk."""
        cid, block = profile.to_block()
        sequence = max(self._seen + 1, self._now() // 1000)
        raw = ipns.create_record(
            self._keys.sign,
            value=f"/ipfs/{cid}",
            sequence=sequence,
            valid_until_ms=self._now() + VALID_MS,
            ttl_s=TTL_S,
        )
        kept = json.dumps({"name": str(self.name), "sequence": sequence, "cid": str(cid), "record": base64url(raw)})
        before = self._pinned

        def keep(conn: sqlite3.Connection) -> None:
            meta.put(conn, _META, kept)
            kept_before = pins.get(conn, before) if before is not None and before != cid else None
            if kept_before is not None and kept_before.name == PIN_NAME:  # else the owner has pinned it since
                pins.remove(conn, kept_before.cid)
            pins.add(conn, cid, "direct", PIN_NAME)

        async with holding(self._store, [(cid, block)]):
            await self._database.write(keep)
        self._seen, self._pinned = sequence, cid
        record = ipns.verify_record(self.name, raw, now_ms=0)
        self.current = Published(profile=profile, cid=cid, record=record)
        self.counters["ipns_records_made"] += 1
        return self.current

    async def _look_what_was_seen(self) -> None:
        """Once, and again after nobody took a record: the DHT may hold a later one of ours than this disk, which may be
        an old copy."""
        if self._asked:
            return
        try:
            if not await self._network.dht_servers():
                return
            raw = await self._network.get_value(self.name.routing_key, timeout_s=SEEN_S)
        except NetworkDown:
            return
        self._asked = True
        if raw is not None:
            self._seen = max(self._seen, ipns.verify_record(self.name, raw, now_ms=0).sequence)

    async def _tell(self) -> Published:
        """Bring the record and the profile's provider record to the DHT."""
        assert self.current is not None
        current = self.current
        servers = await self._network.dht_servers()
        self._told.note(servers)
        taken_by = await self._network.put_value(self.name.routing_key, current.record.raw)
        self._asked = bool(taken_by)
        if taken_by:
            await self._network.provide(current.cid)
        self.current = replace(current, taken_by=taken_by)
        self._told_ms = self._now()
        self.counters["ipns_told" if taken_by else "ipns_told_to_nobody"] += 1
        return self.current
