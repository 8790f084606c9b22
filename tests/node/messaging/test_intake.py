import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from identity.did import PeerId, did_key, peer_id, resolve_did_key
from identity.keys import KeyPair
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER, Source, from_peer
from protocols import limits
from protocols.didcomm.envelope import pack_anoncrypt, pack_authcrypt, pack_signed
from protocols.message import Message
from storage import mailbox
from storage.errors import StorageFull
from storage.mailbox import InboxRow
from storage.trust import Trust
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_keys, open_node, private

ANNA = new_keys()
ANNAS_PEER = from_peer(peer_id(ANNA.public))


def packed(message: Message, to: Node, sender: KeyPair = ANNA) -> bytes:
    return pack_authcrypt(message, sender=sender, recipients=[resolve_did_key(to.did)], entropy=os.urandom)


async def stored(node: Node) -> tuple[InboxRow, ...]:
    return (await node.database.read(lambda conn: mailbox.inbox(conn, limit=100))).items


async def events(node: Node) -> list[str]:
    return [entry.event_type for entry in (await node.events.log()).items]


def test_an_accepted_message_is_on_disk_and_a_repeated_one_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail = Mail(node)
            told: list[Any] = []
            mail.intake.on_stored = lambda sender, message: told.append((sender, message.id))
            message = private(ANNA, node)
            data = packed(message, node)
            assert [await mail.intake.accept(ANNAS_PEER, data) for _ in range(2)] == [ACCEPTED, ACCEPTED]
            assert await mail.intake.accept(ANNAS_PEER, packed(message, node)) == ACCEPTED  # packed anew
            rows = await stored(node)
            assert [(row.message_id, row.from_did, row.status) for row in rows] == [
                (message.id, message.from_, "request")
            ]
            assert await events(node) == ["didcomm_received"]
            assert told == [(message.from_, message.id)]
            assert mail.intake.counters == {"didcomm_accepted": 1, "didcomm_repeated": 2}

    asyncio.run(main())


def test_a_stranger_has_a_share_and_what_was_taken_stays_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail = Mail(node)
            first = [packed(private(ANNA, node), node) for _ in range(limits.MAX_STRANGER_REQUESTS)]
            assert {await mail.intake.accept(ANNAS_PEER, data) for data in first} == {ACCEPTED}
            assert await mail.intake.accept(ANNAS_PEER, packed(private(ANNA, node), node)) == TRY_LATER
            assert await mail.intake.accept(ANNAS_PEER, first[0]) == ACCEPTED
            other = new_keys()
            assert await mail.intake.accept(ANNAS_PEER, packed(private(other, node), node, other)) == ACCEPTED
            assert len(await stored(node)) == limits.MAX_STRANGER_REQUESTS + 1

    asyncio.run(main())


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "home") as node, open_node(swarm, tmp_path / "other") as other:
            mail = Mail(node)
            message = private(ANNA, node)
            good = packed(message, node)
            blocked = new_keys()
            await node.trust.put(Trust(frozenset(), frozenset({did_key(blocked.public)}), 1.0, auto_adopt=True))
            now_s = node.clock() // 1000
            bad = {
                "empty": b"",
                "random": os.urandom(2000),
                "truncated": good[:-20],
                "one bit": good[:-30] + bytes([good[-30] ^ 1]) + good[-29:],
                "deep": b"[" * 10_000 + b"]" * 10_000,
                "plain": message.to_bytes(),
                "signed only": pack_signed(message, signer=ANNA),
                "anonymous": pack_anoncrypt(
                    private(ANNA, node, from_=None), recipients=[resolve_did_key(node.did)], entropy=os.urandom
                ),
                "for another": packed(private(ANNA, other), other),
                "blocked": packed(private(blocked, node), node, blocked),
                "expired": packed(private(ANNA, node, expires_time=now_s), node),
                "future": packed(private(ANNA, node, created_time=now_s + limits.CLOCK_SKEW_S + 1), node),
                "replay": packed(private(ANNA, node, created_time=now_s - limits.REPLAY_WINDOW_S - 1), node),
            }
            for name, data in bad.items():
                assert await mail.intake.accept(ANNAS_PEER, data) == REFUSED, name
            assert await stored(node) == ()
            assert await events(node) == []
            assert sum(mail.intake.counters.values()) == len(bad)
            assert await mail.intake.accept(ANNAS_PEER, good) == ACCEPTED

    asyncio.run(main())


def test_a_message_that_grows_in_our_own_writing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1E5 takes three bytes on the wire and becomes 100000.0 when it is written again.
    body = b'{"n":[' + b",".join([b"1E5"] * 90_000) + b"]}"

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail = Mail(node)
            message = private(ANNA, node, body={})
            plaintext = message.to_bytes().replace(b'"body":{}', b'"body":' + body)
            assert len(plaintext) < limits.MAX_PLAINTEXT_BYTES
            with monkeypatch.context() as patch:
                patch.setattr(Message, "to_bytes", lambda self: plaintext)
                data = packed(message, node)
            assert await mail.intake.accept(ANNAS_PEER, data) == REFUSED
            assert await stored(node) == ()

    asyncio.run(main())


def test_a_flooding_peer_is_throttled_and_others_are_served(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail = Mail(node)
            burst = limits.DIDCOMM_STRANGER_BURST
            flood = [await mail.intake.accept(ANNAS_PEER, b"x") for _ in range(burst + 10)]
            assert flood == [REFUSED] * burst + [TRY_LATER] * 10
            other = new_keys()
            data = packed(private(other, node), node, other)
            assert await mail.intake.accept(ANNAS_PEER, data) == TRY_LATER
            assert await mail.intake.accept(from_peer(peer_id(other.public)), data) == ACCEPTED
            node.clock.advance(1)
            assert await mail.intake.accept(ANNAS_PEER, data) == ACCEPTED
            await name(node, ANNA)
            flood = [await mail.intake.accept(ANNAS_PEER, b"x") for _ in range(limits.DIDCOMM_BURST + 10)]
            assert flood == [REFUSED] * limits.DIDCOMM_BURST + [TRY_LATER] * 10
            assert await mail.intake.accept(from_peer(PeerId("no Ed25519 key")), b"x") == REFUSED

    asyncio.run(main())


def test_long_messages_count_as_many(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail = Mail(node)
            long = b"[" * (9 * limits.MAX_STRANGER_MESSAGE_BYTES)
            answers = [
                await mail.intake.accept(ANNAS_PEER, long) for _ in range(limits.DIDCOMM_STRANGER_BURST // 10 + 1)
            ]
            assert answers == [REFUSED] * (limits.DIDCOMM_STRANGER_BURST // 10) + [TRY_LATER]

    asyncio.run(main())


async def name(node: Node, *keys: KeyPair) -> None:
    """The owner names exactly these."""
    await node.trust.put(Trust(frozenset(did_key(one.public) for one in keys), frozenset(), 1.0, auto_adopt=True))


def test_a_named_twin_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAIL_BURST_BYTES", 5 * (limits.MAIL_ROW_BYTES + 10_500))

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail, bert = Mail(node), new_keys()
            await name(node, ANNA, bert)

            async def send(keys: KeyPair, text: str) -> bytes:
                return await mail.intake.accept(
                    from_peer(peer_id(keys.public)), packed(private(keys, node, body={"text": text}), node, keys)
                )

            assert [await send(ANNA, "x" * 10_000) for _ in range(6)] == [ACCEPTED] * 5 + [TRY_LATER]
            assert await send(bert, "x" * 10_000) == ACCEPTED
            assert len(await stored(node)) == len(await events(node)) == 6
            node.clock.advance(12_000 / limits.MAIL_BYTES_PER_S)
            assert await send(ANNA, "x" * 10_000) == ACCEPTED

    asyncio.run(main())


def test_over_http_only_new_messages_of_named_senders_leave_their_address_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_BURST", 3)

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail, stranger, http = Mail(node), new_keys(), Source("http", "192.0.2.1")
            await name(node, ANNA)
            letters = [packed(private(ANNA, node), node) for _ in range(5)]
            assert [await mail.intake.accept(http, data) for data in letters] == [ACCEPTED] * 5
            assert await mail.intake.accept(http, packed(private(stranger, node), node, stranger)) == ACCEPTED
            assert [await mail.intake.accept(http, letters[0]) for _ in range(3)] == [ACCEPTED] * 2 + [TRY_LATER]
            assert await mail.intake.accept(Source("http", "192.0.2.2"), letters[0]) == ACCEPTED

    asyncio.run(main())


def test_of_one_sender_only_so_much_waits_for_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail, bert = Mail(node), new_keys()
            await name(node, ANNA, bert)
            ask, note = "https://test.example/1.0/ask", "https://test.example/1.0/note"
            mail.intake.work_types.add(ask)

            async def send(keys: KeyPair, **fields: Any) -> bytes:
                message = private(keys, node, **{"message_type": ask, **fields})
                return await mail.intake.accept(from_peer(peer_id(keys.public)), packed(message, node, keys))

            share = limits.MAX_UNHANDLED_PER_SENDER
            assert [await send(ANNA) for _ in range(share + 2)] == [ACCEPTED] * share + [TRY_LATER] * 2
            assert mail.intake.counters["didcomm_over_share"] == 2
            assert [await send(bert), await send(ANNA, message_type=note)] == [ACCEPTED] * 2
            first = (await stored(node))[-1]
            await node.database.write(lambda conn: mailbox.mark_handled(conn, first.from_did, first.message_id))
            assert [await send(ANNA), await send(ANNA)] == [ACCEPTED, TRY_LATER]
            assert await send(bert, body={"question": "?" * limits.MAX_WORK_BYTES}) == REFUSED
            assert await send(bert, message_type=note, body={"text": "?" * limits.MAX_WORK_BYTES}) == ACCEPTED

    asyncio.run(main())


def test_a_full_disk_asks_for_a_later_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(self: object, fn: object) -> None:
        raise StorageFull("no room")

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "home") as node:
            mail = Mail(node)
            data = packed(private(ANNA, node), node)
            with monkeypatch.context() as patch:
                patch.setattr(type(node.database), "write", full)
                assert await mail.intake.accept(ANNAS_PEER, data) == TRY_LATER
            assert await stored(node) == ()
            assert await mail.intake.accept(ANNAS_PEER, data) == ACCEPTED

    asyncio.run(main())
