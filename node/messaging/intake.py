"""Taking messages in: one packed DIDComm message in, one byte out, and the message on disk before that byte leaves.

The order is the order of cost: rate of the peer, then decryption, then the sender's standing and share, then the disk.
A message that was taken before is acknowledged again and changes nothing. A named twin is trusted with questions, not
with the disk or with all of our time: what it may add, and what of it may wait for work, is bounded.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Final

from identity.did import Did, PeerId, did_key, did_of_peer_id
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.events import EventBus
from node.trust import TrustList
from protocols import limits
from protocols.didcomm.envelope import unpack
from protocols.errors import RemoteProtocolError, TooLarge
from protocols.message import Message, check_times
from protocols.ratelimit import KeyedBuckets
from storage import mailbox
from storage.database import Database
from storage.errors import StorageError

logger = logging.getLogger(__name__)

PROTOCOL: Final = "/pagi/didcomm/2.1"

ACCEPTED: Final = b"\x00"
"""The message is on disk here, now or since an earlier time."""
REFUSED: Final = b"\x01"
"""It will never be taken: malformed, not for us, or its sender is blocked."""
TRY_LATER: Final = b"\x02"
"""Not now: too much at once, too many first messages from a stranger, too much that waits for work, or a full disk."""


class Intake:
    """The door for private messages. `on_stored` is told of each new message, and who sent it, once it is on disk.

    `work_types` are the types that make us work; of those a sender may have only so many waiting.
    """

    def __init__(
        self,
        *,
        keys: KeyPair,
        database: Database,
        events: EventBus,
        trust: TrustList,
        now: NowMs = now_ms,
    ) -> None:
        self._keys = keys
        self._did = did_key(keys.public)
        self._database = database
        self._events = events
        self._trust = trust
        self.on_stored: Callable[[Did, Message], None] = lambda sender, message: None
        self.work_types: set[str] = set()
        self._now = now
        self._per_peer = KeyedBuckets(limits.DIDCOMM_RATE_PER_S, limits.DIDCOMM_BURST, limits.MAX_RATED_KEYS)
        self._per_stranger = KeyedBuckets(
            limits.DIDCOMM_STRANGER_RATE_PER_S, limits.DIDCOMM_STRANGER_BURST, limits.MAX_RATED_KEYS
        )
        self._disk_of = KeyedBuckets(limits.MAIL_BYTES_PER_S, limits.MAIL_BURST_BYTES, limits.MAX_RATED_KEYS)
        self.counters: Counter[str] = Counter()

    async def accept(self, peer: PeerId, packed: bytes) -> bytes:
        """Take one packed message from `peer` and answer with ACCEPTED, REFUSED or TRY_LATER."""
        rated = self._per_peer if self._is_named(peer) else self._per_stranger
        # What a message costs to open grows with its length, whatever is in it.
        if not rated.allow(peer, self._now() / 1000, 1 + len(packed) // limits.MAX_STRANGER_MESSAGE_BYTES):
            self.counters["didcomm_throttled"] += 1
            return TRY_LATER
        try:
            message, sender = self._open(packed)
            if self._trust.blocks(sender):
                raise RemoteProtocolError("the sender is blocked")
            plaintext = message.to_bytes()  # Our own writing of it can be longer than the sender's, and too long.
            if not self._trust.allows(sender) and len(packed) > limits.MAX_STRANGER_MESSAGE_BYTES:
                raise TooLarge("a first message of this size is not taken")
            if message.type in self.work_types and len(plaintext) > limits.MAX_WORK_BYTES:
                raise TooLarge("a message of this type is never so long")
        except PagiError as error:
            self.counters[f"didcomm_refused_{error.code}"] += 1
            logger.debug("message from %s refused: %s", peer, error)
            return REFUSED
        if self._trust.allows(sender) and not self._disk_of.allow(
            sender, self._now() / 1000, len(plaintext) + limits.MAIL_ROW_BYTES
        ):
            self.counters["didcomm_throttled"] += 1
            return TRY_LATER
        try:
            return await self._store(message, sender, plaintext)
        except StorageError as error:
            self.counters["didcomm_not_stored"] += 1
            logger.error("a message from %s could not be stored: %s", sender, error)
            return TRY_LATER

    def _is_named(self, peer: PeerId) -> bool:
        try:
            return self._trust.allows(did_of_peer_id(peer))
        except PagiError:
            return False  # Its key is not Ed25519, so it is no twin.

    def _open(self, packed: bytes) -> tuple[Message, Did]:
        unpacked = unpack(packed, keys=(self._keys,))
        sender = unpacked.sender or unpacked.signer
        if not unpacked.encrypted or sender is None:
            raise RemoteProtocolError("only encrypted messages whose sender is authenticated are taken")
        check_times(unpacked.message, self._now() // 1000)
        return unpacked.message, sender

    async def _store(self, message: Message, sender: Did, plaintext: bytes) -> bytes:
        named = self._trust.allows(sender)
        event = self._events.make(
            "didcomm_received",
            message.id,
            {"id": message.id, "from": sender, "type": message.type, "thid": message.thread, "named": named},
            source="didcomm",
        )

        work_types = frozenset(self.work_types) if message.type in self.work_types else frozenset()

        def store(conn: sqlite3.Connection) -> bool | None:
            """True if the message is new, False if it was here before, None if the sender has used up its share."""
            if mailbox.get_inbound(conn, sender, message.id) is not None:
                return False
            if _has_enough_to_do_for(conn, sender, work_types) if named else _share_is_used_up(conn, sender):
                return None
            mailbox.put_inbound(
                conn,
                message_id=message.id,
                from_did=sender,
                to_did=self._did,
                type=message.type,
                thid=message.thread,
                plaintext=plaintext,
                created_time=message.created_time,
                received_ms=event.ts_ms,
                status="received" if named else "request",
            )
            self._events.record(conn, event)
            return True

        new = await self._database.write(store)
        if new is None:
            self.counters["didcomm_over_share" if named else "didcomm_stranger_over_share"] += 1
            return TRY_LATER
        self.counters["didcomm_accepted" if new else "didcomm_repeated"] += 1
        if new:
            self._events.announce(event)
            self.on_stored(sender, message)
        return ACCEPTED


def _share_is_used_up(conn: sqlite3.Connection, stranger: Did) -> bool:
    return (
        mailbox.count_requests(conn, stranger) >= limits.MAX_STRANGER_REQUESTS
        or mailbox.count_all_requests(conn) >= limits.MAX_ALL_REQUESTS
    )


def _has_enough_to_do_for(conn: sqlite3.Connection, named: Did, work_types: frozenset[str]) -> bool:
    return bool(work_types) and mailbox.count_unhandled(conn, named, work_types) >= limits.MAX_UNHANDLED_PER_SENDER
