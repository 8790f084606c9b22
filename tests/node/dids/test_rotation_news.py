"""Telling others of a new DID: once, to those who knew the old one, and whatever others said of it before."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from identity.did import Did, did_key, resolve_did_key
from node.dids.rotation import draw_up
from node.dids.rotation_news import TOLD_FOR_MS, RotationNews
from protocols.didcomm.envelope import verify_signed
from protocols.didcomm.from_prior import read_from_prior
from protocols.message import parse_message
from protocols.succession import SUCCESSION
from storage import contacts, outbox, tasks
from storage import gossip as gossip_rows
from storage import successions as rows
from storage.tasks import ContractRow, TaskRow
from storage.trust import Trust
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Clock, Mail, Node, new_did, new_keys, open_node

OLD, NEW = new_keys(), new_keys()
PAPERS = draw_up(OLD, NEW, at_ms=START_MS)
FRIEND, CONTACT, BLOCKED, STRANGER = (new_did() for _ in range(4))


def news_of(node: Node) -> RotationNews:
    return RotationNews(
        [PAPERS],
        own=node.own,
        database=node.database,
        events=node.events,
        gossip=node.gossip,
        network=node.network,
        composer=Mail(node).composer,
        now=node.clock,
    )


@asynccontextmanager
async def rotated(path: Path, clock: Clock | None = None) -> AsyncIterator[Node]:
    async with open_node(FakeSwarm(), path, keys=NEW, clock=clock) as node:
        await node.trust.put(Trust(frozenset({FRIEND, BLOCKED}), frozenset({BLOCKED}), 1.0, False))
        await node.database.write(
            lambda conn: contacts.put_contact(conn, CONTACT, services="[]", name=None, source="x", updated_ms=1)
        )
        yield node


async def queued(node: Node) -> dict[Did, outbox.OutboxRow]:
    found = (await node.database.read(lambda conn: outbox.list_outbound(conn, limit=100))).items
    assert len({row.to_did for row in found}) == len(found)
    return {row.to_did: row for row in found}


def test_everybody_who_is_named_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(3):
            async with rotated(tmp_path) as node:
                await news_of(node).take_over()
                letters = await queued(node)
        assert letters.keys() == {FRIEND, CONTACT}
        letter = parse_message(letters[FRIEND].plaintext)
        assert (letter.type, letter.from_, letter.body["credential"]) == (
            SUCCESSION,
            did_key(NEW.public),
            PAPERS.credential,
        )

    asyncio.run(main())


def test_the_old_keys_announcement_is_there_for_latecomers(tmp_path: Path) -> None:
    async def main() -> None:
        async with rotated(tmp_path) as node:
            await news_of(node).take_over()
            (signed,) = await node.database.read(lambda conn: gossip_rows.of_type(conn, SUCCESSION))
            assert verify_signed(signed).signer == did_key(OLD.public)

    asyncio.run(main())


def test_what_was_promised_under_the_old_name_is_kept_under_the_new_one(tmp_path: Path) -> None:
    task = TaskRow(
        id="1",
        requester=FRIEND,
        task="count",
        requirements=(),
        created_ms=1,
        deadline_ms=2,
        status="working",
        due_ms=2,
        worker=PAPERS.old,
    )
    contract = ContractRow(
        requester=FRIEND, task_id="1", peer=PAPERS.old, state="working", confidence=1.0, eta_s=1, updated_ms=1
    )

    def promised(conn: sqlite3.Connection) -> None:
        tasks.put_task(conn, task)
        tasks.put_contract(conn, contract)

    async def main() -> None:
        async with rotated(tmp_path) as node:
            await node.database.write(promised)
            await news_of(node).take_over()
            kept = await node.database.read(lambda conn: tasks.get_contract(conn, FRIEND, "1", PAPERS.new))
            assert kept is not None
            assert kept.state == "working"

    asyncio.run(main())


def test_what_was_heard_of_the_old_name_before_does_not_count(tmp_path: Path) -> None:
    """Before a backup was restored, or while a thief was quicker: here the keystore is the truth."""

    def heard(conn: sqlite3.Connection) -> None:
        rows.remember(conn, PAPERS.old, STRANGER, credential="{}", heard_ms=1)

    async def main() -> None:
        async with rotated(tmp_path) as node:
            await node.database.write(heard)
            await news_of(node).take_over()
            row = await node.database.read(lambda conn: rows.of_old(conn, PAPERS.old))
            assert row is not None
            assert (row.new, row.followed_ms) == (PAPERS.new, START_MS)

    asyncio.run(main())


def test_messages_prove_the_new_name_to_those_who_knew_the_old_one_for_some_months(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with rotated(tmp_path, clock) as node:
            news = news_of(node)
            assert news.from_prior_for(FRIEND) is None
            await news.take_over()
            jwt = news.from_prior_for(FRIEND)
            assert jwt is not None
            found = read_from_prior(jwt, resolve=resolve_did_key)
            assert (found.old_did, found.new_did) == (PAPERS.old, PAPERS.new)
            assert news.from_prior_for(CONTACT) == jwt
            assert news.from_prior_for(STRANGER) is None
            assert news.from_prior_for(BLOCKED) is None
        clock.now_ms += TOLD_FOR_MS
        async with rotated(tmp_path, clock) as node:
            news = news_of(node)
            await news.take_over()
            assert news.from_prior_for(FRIEND) is None

    asyncio.run(main())
