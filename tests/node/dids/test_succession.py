"""Who follows whom to a new DID, and who does not."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did, did_key
from identity.errors import SuccessionRefused
from identity.keys import KeyPair
from identity.succession import make_succession
from node.dids.rotation import draw_up
from node.dids.succession import Successions
from node.gossip import Heard
from node.messaging.source import Source
from protocols import limits
from protocols.didcomm.envelope import verify_signed
from protocols.didcomm.from_prior import FromPrior
from protocols.errors import MalformedMessage, RemoteProtocolError
from protocols.message import Message, parse_message
from protocols.succession import SUCCESSION, SuccessionNotice
from storage import contacts, outbox, twins
from storage import successions as rows
from storage.trust import Trust
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Node, Watch, new_keys, open_node, watching

A, B, C, THIEF = (new_keys() for _ in range(4))
NOW_S = START_MS // 1000


def did(keys: KeyPair) -> Did:
    return did_key(keys.public)


def notice(old: KeyPair, new: KeyPair, *, at_s: int = NOW_S) -> dict[str, Any]:
    credential = make_succession(old=old, new=new, now_s=at_s)
    return SuccessionNotice(credential["id"], credential).to_body()


@dataclass
class Follower:
    """A node that follows successions, what its owner sees, and what was said in its own name."""

    node: Node
    successions: Successions
    own_name: list[str] = field(default_factory=list)

    async def trusts(self, *, allow: Sequence[KeyPair] = (), block: Sequence[KeyPair] = ()) -> None:
        trust = replace(self.node.trust.current, allow=frozenset(map(did, allow)), block=frozenset(map(did, block)))
        await self.node.trust.put(trust)

    async def hears(self, old: KeyPair, new: KeyPair, *, by: KeyPair | None = None, at_s: int = NOW_S) -> None:
        message = Message(id="1", type=SUCCESSION, body=notice(old, new, at_s=at_s), created_time=at_s)
        await self.successions.on_gossip(Heard(message, did(by or old), self.node.peer_id))

    @property
    def lists(self) -> tuple[frozenset[Did], frozenset[Did]]:
        return self.node.trust.current.allow, self.node.trust.current.block


def dids(*keys: KeyPair) -> frozenset[Did]:
    return frozenset(map(did, keys))


@asynccontextmanager
async def following(tmp_path: Path) -> AsyncIterator[tuple[Follower, Watch]]:
    async with open_node(FakeSwarm(), tmp_path) as node, watching(node) as watch:
        said: list[str] = []

        async def note(reason: str) -> None:
            said.append(reason)

        successions = Successions(
            own=node.own,
            database=node.database,
            events=node.events,
            trust=node.trust,
            on_own_name=note,
            now=node.clock,
        )
        await successions.load()
        yield Follower(node, successions, said), watch


def run(tmp_path: Path, test: Callable[[Follower, Watch], Awaitable[None]]) -> None:
    async def main() -> None:
        async with following(tmp_path) as (follower, watch):
            await test(follower, watch)

    asyncio.run(main())


def test_a_named_twin_is_followed_with_all_that_waits_for_it(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        node = follower.node

        def fill(conn: Any) -> None:
            twins.upsert_twin(conn, did(A), "ada", ("/ip4/10.0.0.1/tcp/1/p2p/x",), ("ask",), ("tides",), 7, True)
            contacts.put_contact(conn, did(A), services="[]", name="Ada", source="invitation", updated_ms=1)
            outbox.queue_outbound(
                conn,
                message_id="1",
                to_did=did(A),
                type="t",
                thid=None,
                plaintext=b"{}",
                created_ms=1,
                expires_ms=None,
            )

        await node.database.write(fill)
        await follower.trusts(allow=[A, C])
        await follower.hears(A, B)
        event = await watch.until("twin_succeeded")
        assert (event.subject, event.payload["formerly"], event.payload["blocked"]) == (did(B), did(A), False)
        assert follower.lists == (dids(B, C), frozenset())
        assert follower.successions.formerly(did(B)) == (did(A),)

        def look(conn: Any) -> tuple[Any, ...]:
            moved = outbox.get_outbound(conn, "1")
            assert moved is not None
            twin, contact = twins.get_twin(conn, did(B)), contacts.get_contact(conn, did(B))
            assert twin is not None
            assert contact is not None
            gone = twins.get_twin(conn, did(A)), contacts.get_contact(conn, did(A))
            return moved.to_did, twin.name, twin.addresses, contact.name, gone

        assert await node.database.read(look) == (did(B), "ada", (), "Ada", (None, None))

    run(tmp_path, test)


def test_the_same_again_changes_nothing_and_costs_no_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        await follower.hears(A, B)
        await watch.until("twin_succeeded")
        monkeypatch.setattr(
            "node.dids.succession.read_succession", lambda *_, **__: pytest.fail("it was checked again")
        )
        for _ in range(50):
            await follower.hears(A, B, by=B)
        assert follower.lists == (dids(B), frozenset())

    run(tmp_path, test)


def test_a_second_successor_is_refused_and_shown(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        await follower.hears(A, B)
        await follower.hears(A, THIEF)
        event = await watch.until("succession_conflict")
        assert event.payload == {"did": did(A), "followed": did(B), "refused": did(THIEF)}
        await follower.hears(A, THIEF)
        assert follower.lists == (dids(B), frozenset())
        (row,) = await follower.successions.followed()
        assert (row.new, row.conflict) == (did(B), did(THIEF))
        assert [event.event_type for event in watch.seen].count("succession_conflict") == 1

    run(tmp_path, test)


def test_a_stranger_is_remembered_and_followed_once_it_is_named(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.hears(A, B)
        assert follower.lists == (frozenset(), frozenset())
        assert follower.successions.formerly(did(B)) == ()
        assert follower.successions.current(did(A)) == did(A)
        await follower.trusts(allow=[A])
        await watch.until("twin_succeeded")
        assert follower.lists == (dids(B), frozenset())
        await follower.trusts(allow=[A, C])
        assert follower.lists == (dids(B, C), frozenset()), "an old list that is put back brings no old name back"

    run(tmp_path, test)


@pytest.mark.parametrize("order", list(itertools.permutations([(A, B), (B, C), (C, THIEF)])))
def test_several_successions_are_followed_in_whatever_order_they_come(
    tmp_path: Path, order: Sequence[tuple[KeyPair, KeyPair]]
) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        for old, new in order:
            await follower.hears(old, new, by=THIEF)
        assert follower.lists == (dids(THIEF), frozenset())
        assert follower.successions.formerly(did(THIEF)) == (did(A), did(B), did(C))
        assert follower.successions.current(did(A)) == follower.successions.current(did(THIEF)) == did(THIEF)

    run(tmp_path, test)


def test_the_successor_of_a_blocked_twin_is_blocked(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A], block=[A])
        await follower.hears(A, B)
        assert follower.lists[1] == dids(A, B)
        assert not follower.node.trust.allows(did(B))

    run(tmp_path, test)


def test_nobody_is_followed_to_a_blocked_twin_or_in_a_circle(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A, C], block=[THIEF])
        await follower.hears(A, THIEF)
        assert follower.lists == (dids(A, C), dids(THIEF))
        await follower.hears(C, B)
        await follower.hears(B, C)
        assert follower.lists == (dids(A, B), dids(THIEF))

    run(tmp_path, test)


def test_without_the_new_keys_consent_nobody_is_blocked_or_named_for_anothers_sake(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(block=[THIEF])
        body = notice(THIEF, A)
        body["credential"]["proof"] = body["credential"]["proof"][:1]
        message = Message(id="1", type=SUCCESSION, body=body, created_time=NOW_S)
        with pytest.raises(SuccessionRefused):
            await follower.successions.on_gossip(Heard(message, did(THIEF), follower.node.peer_id))
        assert follower.lists == (frozenset(), dids(THIEF))

    run(tmp_path, test)


def test_one_that_names_successors_without_end_is_held_to_a_rate(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        for _ in range(limits.SUCCESSION_BURST):
            await follower.hears(new_keys(), new_keys(), by=THIEF)
        with pytest.raises(RemoteProtocolError, match="too many"):
            await follower.hears(new_keys(), new_keys(), by=THIEF)

    run(tmp_path, test)


def test_of_strangers_only_so_many_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_REMEMBERED", 3)

    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        await follower.hears(A, B)
        strangers = [new_keys() for _ in range(6)]
        for stranger in strangers:
            await follower.hears(stranger, new_keys())
        held = await follower.node.database.read(lambda conn: rows.among(conn, [did(A), *map(did, strangers)]))
        assert {row.old for row in held} == {did(A), *map(did, strangers[2:])}, "the three newest, and the last one"

    run(tmp_path, test)


def test_a_private_notice_and_one_that_is_none(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        source = Source("libp2p", "peer", did(B))
        with pytest.raises(MalformedMessage):
            await follower.successions.on_message(source, did(B), Message(id="1", type=SUCCESSION, body={}))
        message = Message(id="2", type=SUCCESSION, body=notice(A, B))
        assert list(await follower.successions.on_message(source, did(B), message)) == []
        assert follower.lists == (dids(B), frozenset())

    run(tmp_path, test)


def test_from_prior_is_followed_for_whoever_is_named(tmp_path: Path) -> None:
    """Agents of other makers prove their rotation so; their DIDs may be of any method."""
    old, new = Did("did:peer:2.Ez6LSold"), Did("did:web:example.org")

    async def test(follower: Follower, watch: Watch) -> None:
        trust = follower.node.trust.current
        await follower.node.trust.put(Trust(frozenset({old}), frozenset(), 1.0, False))
        for _ in range(3):
            await follower.successions.on_prior(new, FromPrior(old, new, NOW_S))
        assert follower.node.trust.current.allow == {new}
        assert follower.successions.formerly(new) == (old,)
        await follower.node.trust.put(replace(trust, block=dids(THIEF)))
        with pytest.raises(SuccessionRefused):
            await follower.successions.on_prior(did(B), FromPrior(did(THIEF), did(B), NOW_S))
        assert follower.node.trust.current.block == dids(THIEF, B)

    run(tmp_path, test)


def test_of_a_strangers_from_prior_nothing_is_kept(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.successions.on_prior(did(B), FromPrior(did(A), did(B), NOW_S))
        assert follower.successions.formerly(did(B)) == ()
        await follower.node.trust.put(Trust(dids(A), frozenset(), 1.0, False))
        await follower.successions.on_prior(did(B), FromPrior(did(A), did(B), NOW_S))
        assert follower.node.trust.current.allow == dids(B)

    run(tmp_path, test)


def test_somebody_who_gives_up_our_own_name_is_not_followed_but_shown(tmp_path: Path) -> None:
    async def test(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        await follower.hears(follower.node.keys, THIEF)
        assert len(follower.own_name) == 1
        assert did(THIEF) in follower.own_name[0]
        assert follower.lists == (dids(A), frozenset())
        assert await follower.node.database.read(lambda conn: rows.of_old(conn, follower.node.did)) is None

    run(tmp_path, test)


def test_what_was_followed_is_known_after_a_restart(tmp_path: Path) -> None:
    async def first(follower: Follower, watch: Watch) -> None:
        await follower.trusts(allow=[A])
        await follower.hears(A, B)

    async def second(follower: Follower, watch: Watch) -> None:
        assert follower.successions.formerly(did(B)) == (did(A),)
        assert follower.lists == (dids(B), frozenset())

    run(tmp_path, first)
    run(tmp_path, second)


def test_the_papers_of_a_rotation_say_what_they_should() -> None:
    papers = draw_up(A, B, at_ms=START_MS)
    opened = verify_signed(papers.announcement)
    assert (opened.signer, opened.message.type) == (did(A), SUCCESSION)
    assert SuccessionNotice.from_body(opened.message.body).credential == papers.credential
    assert len(papers.announcement) < limits.MAX_GOSSIP_BYTES / 2
    assert sum(map(len, papers.to_texts().values())) < 8 * 1024
    assert parse_message(opened.message.to_bytes()) == opened.message
