import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.artifacts import SignedArtifact, is_valid
from identity.did import Did
from identity.errors import UnsignableArtifact
from node.events import EventBus
from node.mind.errors import AnswerMissing, ApprovalOver, ApprovalUnknown, TooLongToShow
from node.mind.jobs.answer_leave import MAX_WAITING, AnswerLeave
from node.mind.jobs.approvals import MAX_SUMMARY_CHARS, Approvals, Wanted
from storage.approvals import ApprovalRow
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_keys, open_node, running, soon

TTL_S = 60
CALL = Wanted("send", {"to": "Ana", "n": 1}, None)


def approvals_of(node: Node) -> Approvals:
    return Approvals(
        own=node.did,
        sign=node.keys.sign,
        database=node.database,
        events=node.events,
        ttl_s=TTL_S,
        now=node.clock,
    )


async def spend(node: Node, approvals: Approvals, row: ApprovalRow, wanted: Wanted) -> bool:
    return await node.database.write(lambda conn: approvals.spend(conn, row, wanted))


def test_an_approval_is_spent_once_and_for_its_action_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            assert not await spend(node, approvals, row, CALL)  # not decided yet
            decided = await approvals.decide(row.id, approve=True, note="fine")
            assert (decided.status, decided.note) == ("approved", "fine")
            for other in (
                replace(CALL, tool="delete"),
                replace(CALL, arguments={"to": "Ana", "n": 2}),
                replace(CALL, arguments={"to": "Ana", "n": 1, "cc": "Bob"}),
                replace(CALL, job_id="another"),
            ):
                assert not await spend(node, approvals, row, other)
            assert await spend(node, approvals, row, CALL)
            assert not await spend(node, approvals, row, CALL)
            assert (await approvals.get(row.id)).status == "used"

    asyncio.run(main())


def test_the_decision_is_a_record_that_anybody_can_verify(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            decided = await approvals.decide(row.id, approve=False, note="no")
            assert decided.record is not None
            record = orjson.loads(decided.record)
            assert is_valid(SignedArtifact(Did(record["did"]), record["signature"], record["artifact"]))
            assert record["artifact"]["decision"] == "denied"
            assert record["artifact"]["action_sha256"] == CALL.hash.hex()
            assert not await spend(node, approvals, decided, CALL)

    asyncio.run(main())


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param("UPDATE approvals SET status = 'approved', decided_ms = 1", id="nobody decided"),
        pytest.param("UPDATE approvals SET record = NULL", id="no record"),
        pytest.param("UPDATE approvals SET record = x'7b7d'", id="no signature"),
        pytest.param("UPDATE approvals SET record = x'ff'", id="no JSON"),
        pytest.param("UPDATE approvals SET note = 'other words'", id="another note"),
        pytest.param("UPDATE approvals SET expires_ms = expires_ms + 1000", id="a longer life"),
        pytest.param("UPDATE approvals SET id = 'x' || id", id="another id"),
        pytest.param("UPDATE approvals SET kind = 'question'", id="another kind"),
    ],
)
def test_a_row_that_was_tampered_with_is_no_leave(tmp_path: Path, tamper: str) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            if "nobody" not in tamper and "'approved'" not in tamper:
                await approvals.decide(row.id, approve=True)
            await node.database.write(lambda conn: conn.execute(tamper))
            (kept,) = (await approvals.list(9)).items
            assert not await spend(node, approvals, kept, CALL)
            assert await node.database.read(lambda conn: approvals.granted(conn, CALL)) is None

    asyncio.run(main())


def test_a_record_of_another_key_is_no_leave(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            stranger = new_keys()
            other = Approvals(
                own=node.did,
                sign=stranger.sign,
                database=node.database,
                events=EventBus(node.database, node.did),
                ttl_s=TTL_S,
                now=node.clock,
            )
            row = await other.request("action", "Send?", CALL)
            await other.decide(row.id, approve=True)
            assert not await spend(node, approvals_of(node), row, CALL)

    asyncio.run(main())


def test_what_nobody_decides_expires_also_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            first = approvals_of(node)
            late = await first.request("action", "Send?", CALL)
            approved = await first.request("action", "Again?", replace(CALL, arguments={}))
            await first.decide(approved.id, approve=True)
            node.clock.advance(TTL_S)
            again = approvals_of(node)
            assert not await spend(node, again, approved, replace(CALL, arguments={}))  # in time, but spent too late
            with pytest.raises(ApprovalOver):
                await again.decide(late.id, approve=True)
            told: asyncio.Queue[ApprovalRow] = asyncio.Queue()
            again.on_decided(told.put_nowait)
            async with running(again.run()):
                assert (await soon(told.get())).status == "expired"
            events = [entry.event_type for entry in (await node.events.log()).items]
            assert events.count("approval_requested") == 2
            assert events.count("approval_decided") == 2

    asyncio.run(main())


def test_a_decision_is_made_once_and_a_question_needs_an_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            with pytest.raises(ApprovalUnknown):
                await approvals.decide("nothing", approve=True)
            row = await approvals.request("question", "Which one?", Wanted("ask_owner", {"question": "Which?"}, None))
            for note in (None, "  "):
                with pytest.raises(AnswerMissing):
                    await approvals.decide(row.id, approve=True, note=note)
            assert (await approvals.decide(row.id, approve=True, note="the red one")).note == "the red one"
            with pytest.raises(ApprovalOver):
                await approvals.decide(row.id, approve=False)
            assert [row.status for row in (await approvals.list(9, status="pending")).items] == []

    asyncio.run(main())


def test_leave_for_an_answer_is_for_one_twin_and_one_question(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            leave = AnswerLeave(approvals, node.database)
            ana, bob = Did("did:key:ana"), Did("did:key:bob")
            assert not await leave.given(ana, "How old?")
            await leave.left_out(ana, "How old?")
            await leave.left_out(ana, "How  old?")  # the same question waits already
            (row,) = (await approvals.list(9, status="pending")).items
            assert row.kind == "answer"
            await approvals.decide(row.id, approve=True)
            assert not await leave.given(bob, "How old?")
            assert not await leave.given(ana, "How tall?")
            assert await leave.given(ana, "How old?")
            assert not await leave.given(ana, "How old?")
            for number in range(MAX_WAITING + 3):
                await leave.left_out(bob, f"What is {number}?")
            assert len((await approvals.list(99, status="pending")).items) == MAX_WAITING

    asyncio.run(main())


def test_what_another_twin_asks_cannot_speak_for_us(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            leave = AnswerLeave(approvals, node.database)
            await leave.left_out(Did("did:key:ana"), "How old?\nMay it be?\u202eno")
            (row,) = (await approvals.list(9, status="pending")).items
            first, *rest = row.summary.split("\n")
            assert first == "May what you marked `ask` be used in an answer to did:key:ana, who asks:"
            assert rest[:2] == ["| How old?", "| May it be?\\u{202e}no"]
            assert rest[2].startswith("It was told what is shared.")
            await leave.left_out(Did("did:key:ana"), "x" * (MAX_SUMMARY_CHARS + 1))
            assert (await approvals.list(9, status="pending")).items == (row,)

    asyncio.run(main())


def test_what_cannot_be_shown_whole_is_not_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            with pytest.raises(TooLongToShow):
                await approvals.request("action", "x" * (MAX_SUMMARY_CHARS + 1), CALL)
            row = await approvals.request("action", "x" * MAX_SUMMARY_CHARS, CALL)
            assert len(row.summary) == MAX_SUMMARY_CHARS

    asyncio.run(main())


def test_that_something_happened_allows_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("outcome", "Did it happen?", CALL)
            await approvals.decide(row.id, approve=True)
            assert not await spend(node, approvals, row, CALL)
            assert await node.database.read(lambda conn: approvals.granted(conn, CALL)) is None

    asyncio.run(main())


def test_the_clock_may_jump(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            node.clock.advance(-10 * TTL_S)
            await approvals.decide(row.id, approve=True)
            node.clock.advance(11 * TTL_S)
            assert not await spend(node, approvals, row, CALL)
            node.clock.advance(-10 * TTL_S)
            assert await spend(node, approvals, row, CALL)

    asyncio.run(main())


def test_two_that_spend_at_once_get_one_leave(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            await approvals.decide(row.id, approve=True)
            spent = await asyncio.gather(*(spend(node, approvals, row, CALL) for _ in range(8)))
            assert spent.count(True) == 1

    asyncio.run(main())


def test_two_that_decide_at_once_make_one_decision(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            decisions = [approvals.decide(row.id, approve=n % 2 == 0) for n in range(6)]
            made = await asyncio.gather(*decisions, return_exceptions=True)
            assert len([one for one in made if isinstance(one, ApprovalRow)]) == 1
            assert all(isinstance(one, ApprovalRow | ApprovalOver) for one in made)

    asyncio.run(main())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=3), st.dictionaries(st.text(max_size=4), JSON, max_size=3))
def test_different_arguments_are_different_actions(one: dict[str, Any], other: dict[str, Any]) -> None:
    """An approval binds arguments that are the same JSON: equal documents, and only these, have the same hash."""
    try:
        first, second = Wanted("t", one, "j"), Wanted("t", other, "j")
        same = first.hash == second.hash
    except UnsignableArtifact:
        return
    assert same == (_plain(one) == _plain(other))
    assert Wanted("t", orjson.loads(orjson.dumps(one)), "j").hash == first.hash  # as it is after a restart


def _plain(value: Any) -> Any:
    """JSON knows one kind of number, and its truth is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | list | dict):
        return (type(value).__name__, value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else float(value)


def test_spending_and_beginning_are_one(tmp_path: Path) -> None:
    """What is taken back in the transaction that spends it is not spent."""

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            approvals = approvals_of(node)
            row = await approvals.request("action", "Send?", CALL)
            await approvals.decide(row.id, approve=True)

            def fails(conn: sqlite3.Connection) -> None:
                assert approvals.spend(conn, row, CALL)
                raise sqlite3.OperationalError("no")

            with pytest.raises(Exception, match="no"):
                await node.database.write(fails)
            assert await spend(node, approvals, row, CALL)

    asyncio.run(main())
