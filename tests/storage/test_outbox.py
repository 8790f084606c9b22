import sqlite3
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from identity.did import Did
from storage import outbox
from storage.migrate import shipped_migrations

ANNA, BERT = Did("did:key:zAnna"), Did("did:key:zBert")


def queue(conn: sqlite3.Connection, message_id: str, to_did: Did = ANNA, thid: str | None = None, **more: int) -> None:
    outbox.queue_outbound(
        conn,
        message_id=message_id,
        to_did=to_did,
        type="https://example.org/1.0/note",
        thid=thid,
        plaintext=message_id.encode(),
        created_ms=0,
        expires_ms=more.get("expires_ms"),
    )


def due(conn: sqlite3.Connection, now_ms: int = 0, to_did: Did = ANNA, limit: int = 100) -> list[str]:
    return [row.message_id for row in outbox.due(conn, to_did, now_ms, limit)]


def test_queueing_an_id_again_changes_nothing(conn: sqlite3.Connection) -> None:
    queue(conn, "1")
    outbox.mark_delivered(conn, ["1"], 9)
    queue(conn, "1", BERT)
    row = outbox.get_outbound(conn, "1")
    assert row is not None
    assert (row.to_did, row.status, row.delivered_ms) == (ANNA, "delivered", 9)
    assert outbox.get_outbound(conn, "2") is None
    assert due(conn) == []


def test_a_waiting_message_holds_back_its_thread_and_nothing_else(conn: sqlite3.Connection) -> None:
    queue(conn, "a1", thid="a")
    queue(conn, "b1", thid="b")
    queue(conn, "a2", thid="a")
    queue(conn, "a3", BERT, thid="a")
    outbox.mark_retry(conn, ["a1"], now_ms=0, next_attempt_ms=50, error="unreachable")
    assert due(conn) == ["b1"]
    assert due(conn, to_did=BERT) == ["a3"]
    assert due(conn, 50) == ["a1", "b1", "a2"]
    assert due(conn, 50, limit=2) == ["a1", "b1"]
    row = outbox.get_outbound(conn, "a1")
    assert row is not None
    assert (row.attempts, row.next_attempt_ms, row.last_error) == (1, 50, "unreachable")


def test_the_first_message_of_a_thread_holds_back_those_that_name_it(conn: sqlite3.Connection) -> None:
    queue(conn, "first")
    queue(conn, "second", thid="first")
    outbox.mark_retry(conn, ["first"], now_ms=0, next_attempt_ms=50, error="unreachable")
    assert due(conn) == []
    outbox.mark_failed(conn, ["first"], error="given up")
    assert due(conn) == ["second"]


def test_next_due_is_when_something_can_really_be_sent(conn: sqlite3.Connection) -> None:
    assert outbox.recipients_due(conn) == {}
    queue(conn, "first")
    queue(conn, "second", thid="first")  # due by its own time, but held back
    outbox.mark_retry(conn, ["first"], now_ms=0, next_attempt_ms=50, error="unreachable")
    assert outbox.recipients_due(conn) == {ANNA: 50}
    queue(conn, "other", BERT)
    assert outbox.recipients_due(conn) == {ANNA: 50, BERT: 0}
    assert outbox.retry_now(conn, ANNA, 20) == 1
    assert due(conn, 20) == ["first", "second"]


def test_delivered_is_final_and_failed_is_not_sent_again(conn: sqlite3.Connection) -> None:
    for name in ("1", "2"):
        queue(conn, name)
    outbox.mark_delivered(conn, ["1"], 5)
    outbox.mark_failed(conn, ["1", "2"], error="given up")
    outbox.mark_retry(conn, ["1", "2"], now_ms=0, next_attempt_ms=0, error="again")
    states = [(row.message_id, row.status, row.attempts) for row in outbox.list_outbound(conn, limit=9).items]
    assert states == [("2", "failed", 0), ("1", "delivered", 0)]
    outbox.mark_delivered(conn, ["2"], 6)  # its acknowledgement came late
    row = outbox.get_outbound(conn, "2")
    assert row is not None
    assert (row.status, row.last_error) == ("delivered", None)


def test_what_is_put_off_waits_for_the_attempt_or_its_end(conn: sqlite3.Connection) -> None:
    queue(conn, "1", expires_ms=10)
    queue(conn, "2", expires_ms=99)
    queue(conn, "3", BERT)
    outbox.mark_failed(conn, ["2"], error="refused")
    queue(conn, "4")
    outbox.put_off(conn, ANNA, next_attempt_ms=50, error="unreachable")
    states = [
        (row.message_id, row.attempts, row.next_attempt_ms, row.last_error)
        for row in outbox.list_outbound(conn, limit=9).items
    ]
    assert states == [
        ("4", 1, 50, "unreachable"),
        ("3", 0, 0, None),
        ("2", 0, 0, "refused"),
        ("1", 1, 10, "unreachable"),
    ]
    assert outbox.recipients_due(conn) == {BERT: 0, ANNA: 10}


HOUR_MS = 3_600_000


def hand_over(conn: sqlite3.Connection, *names: str, at: int = 0) -> None:
    outbox.mark_sent(conn, names, at, next_attempt_ms=at + HOUR_MS, via="mediator did:key:zRelay (libp2p)")


def fates(conn: sqlite3.Connection) -> dict[str, str]:
    return {row.message_id: row.status for row in outbox.list_outbound(conn, limit=99).items}


def test_what_was_handed_over_waits_for_its_confirmation_and_holds_back_nothing(conn: sqlite3.Connection) -> None:
    queue(conn, "1", thid="a")
    queue(conn, "2", thid="a")
    hand_over(conn, "1", at=7)
    assert due(conn, 7) == ["2"]
    row = outbox.get_outbound(conn, "1")
    assert row is not None
    assert (row.status, row.sent_ms, row.via) == ("sent", 7, "mediator did:key:zRelay (libp2p)")
    assert (row.delivered_ms, row.acked) == (None, False)
    assert [row.message_id for row in outbox.mark_acknowledged(conn, ANNA, ["1", "1"], 9)] == ["1"]
    row = outbox.get_outbound(conn, "1")
    assert row is not None
    assert (row.status, row.delivered_ms, row.acked) == ("delivered", 9, True)
    hand_over(conn, "1", at=10)
    assert outbox.resend(conn, ANNA, 10, handed_before_ms=10, grace_ms=0) == 0
    assert fates(conn) == {"1": "delivered", "2": "queued"}


def test_only_the_recipient_can_confirm_and_once(conn: sqlite3.Connection) -> None:
    queue(conn, "1")
    queue(conn, "2", BERT)
    hand_over(conn, "1", "2")
    assert outbox.unacknowledged(conn, ANNA, ["1", "2", "3", "1"]) == ["1"]
    assert outbox.mark_acknowledged(conn, BERT, ["1", "3"], 5) == []
    assert outbox.mark_acknowledged(conn, ANNA, ["1", "2"], 5) != []
    assert outbox.mark_acknowledged(conn, ANNA, ["1"], 6) == []
    assert outbox.unacknowledged(conn, ANNA, ["1"]) == []
    assert fates(conn) == {"1": "delivered", "2": "sent"}


def test_a_confirmation_counts_for_what_is_queued_failed_or_delivered_too(conn: sqlite3.Connection) -> None:
    for name in ("1", "2", "3"):
        queue(conn, name)
    outbox.mark_failed(conn, ["2"], error="given up")
    outbox.mark_delivered(conn, ["3"], 4, via="https://agent.example")
    assert [row.message_id for row in outbox.mark_acknowledged(conn, ANNA, ["1", "2", "3"], 9)] == ["1", "2"]
    assert set(fates(conn).values()) == {"delivered"}
    row = outbox.get_outbound(conn, "3")
    assert row is not None
    assert (row.delivered_ms, row.acked, row.via) == (4, True, "https://agent.example")


def test_what_is_sent_again_comes_first_in_its_thread_after_a_while(conn: sqlite3.Connection) -> None:
    for name in ("1", "2", "3"):
        queue(conn, name, thid="a")
    hand_over(conn, "1", at=10)
    hand_over(conn, "2", at=60)
    assert outbox.resend(conn, ANNA, 100, handed_before_ms=100, grace_ms=50) == 2
    assert due(conn, 100) == ["1"]  # and not 3, which waits for 2
    assert due(conn, 110) == ["1", "2", "3"]
    assert outbox.recipients_due(conn) == {ANNA: 100}


def test_what_was_handed_over_a_moment_ago_can_be_spared(conn: sqlite3.Connection) -> None:
    queue(conn, "1")
    queue(conn, "2", BERT)
    hand_over(conn, "1", "2", at=10)
    assert outbox.resend(conn, ANNA, 50, handed_before_ms=9, grace_ms=0) == 0
    assert outbox.resend(conn, ANNA, 50, handed_before_ms=10, grace_ms=0) == 1
    assert fates(conn) == {"1": "queued", "2": "sent"}


def test_what_nobody_confirms_is_overdue_until_it_expires(conn: sqlite3.Connection) -> None:
    queue(conn, "1", expires_ms=2 * HOUR_MS)
    queue(conn, "2")
    hand_over(conn, "1", "2")
    assert not outbox.overdue(conn, HOUR_MS - 1)
    assert outbox.resend_overdue(conn, HOUR_MS - 1) == 0
    assert outbox.overdue(conn, HOUR_MS)
    assert outbox.resend_overdue(conn, HOUR_MS) == 2
    assert due(conn, HOUR_MS) == ["1", "2"]
    hand_over(conn, "1", "2", at=HOUR_MS)
    assert outbox.resend_overdue(conn, 2 * HOUR_MS) == 1
    assert outbox.resend(conn, ANNA, 2 * HOUR_MS, handed_before_ms=2 * HOUR_MS, grace_ms=0) == 0
    assert fates(conn) == {"1": "sent", "2": "queued"}


def test_without_a_better_way_what_a_carrier_has_stays_there(conn: sqlite3.Connection) -> None:
    for name in ("old", "young", "fresh"):
        queue(conn, name)
    hand_over(conn, "old", at=10)
    hand_over(conn, "young", at=20)
    outbox.resend(conn, ANNA, 30, handed_before_ms=30, grace_ms=0)
    assert outbox.leave_with_carrier(conn, ANNA, handed_after_ms=10, again_ms=HOUR_MS) == 1
    assert fates(conn) == {"old": "queued", "young": "sent", "fresh": "queued"}
    assert not outbox.overdue(conn, 19 + HOUR_MS)
    assert outbox.overdue(conn, 20 + HOUR_MS)


def test_which_threads_a_carrier_has_something_of(conn: sqlite3.Connection) -> None:
    for name, thread in (("1", "a"), ("2", "a"), ("3", "a"), ("4", "b")):
        queue(conn, name, thid=thread)
    queue(conn, "5", thid="c", expires_ms=9)
    queue(conn, "6", BERT, thid="d")
    hand_over(conn, "1", "2", "5", "6")
    assert outbox.carried(conn, ANNA, 8) == {"a": 2, "c": 5}
    assert outbox.carried(conn, ANNA, 9) == {"a": 2}


def test_at_its_end_what_a_carrier_has_may_arrive_yet(conn: sqlite3.Connection) -> None:
    queue(conn, "1")
    queue(conn, "2")
    hand_over(conn, "1")
    outbox.resend(conn, ANNA, 5, handed_before_ms=5, grace_ms=0)
    outbox.mark_expired(conn, ["1", "2"], error="it expired")
    assert fates(conn) == {"1": "sent", "2": "failed"}


def test_mail_follows_a_recipient_to_its_next_did(conn: sqlite3.Connection) -> None:
    for name in ("delivered", "sent", "queued"):
        queue(conn, name)
    outbox.mark_delivered(conn, ["delivered"], 1)
    hand_over(conn, "sent")
    assert outbox.move_recipient(conn, ANNA, BERT) == 2
    rows = outbox.list_outbound(conn, limit=9).items
    assert {row.message_id: row.to_did for row in rows} == {"delivered": ANNA, "sent": BERT, "queued": BERT}
    assert outbox.mark_acknowledged(conn, BERT, ["sent"], 2) != []


def test_a_row_keeps_how_it_is_to_be_packed(conn: sqlite3.Connection) -> None:
    outbox.queue_outbound(
        conn, message_id="1", to_did=ANNA, type="t", thid=None, pthid="parent", plaintext=b"{}", created_ms=0,
        expires_ms=None, form="anoncrypt-signed",
    )  # fmt: skip
    row = outbox.get_outbound(conn, "1")
    assert row is not None
    assert (row.form, row.pthid) == ("anoncrypt-signed", "parent")


@dataclass
class Sent:
    name: str
    to_did: Did
    thread: str
    next_attempt_ms: int = 0
    sent_ms: int = 0


class OutboxModel(RuleBasedStateMachine):
    """The outbox against a plain list: what may be sent is what no older message of its thread holds back."""

    def __init__(self) -> None:
        super().__init__()
        # The schema without files, since this runs many times.
        self.conn = sqlite3.connect(":memory:", isolation_level=None)
        for step in shipped_migrations():
            self.conn.executescript(step.sql)
        self.queued: list[Sent] = []
        self.handed_over: list[Sent] = []
        self.count = 0
        self.now_ms = 0

    @rule(to_did=st.sampled_from([ANNA, BERT]), thread=st.sampled_from(["a", "b"]))
    def queue(self, to_did: Did, thread: str) -> None:
        self.count += 1
        queue(self.conn, f"m{self.count}", to_did, thread)
        self.queued.append(Sent(f"m{self.count}", to_did, thread))

    @rule(step=st.integers(1, 10))
    def wait(self, step: int) -> None:
        self.now_ms += step

    @rule(data=st.data(), delay=st.integers(1, 20))
    def fail(self, data: st.DataObject, delay: int) -> None:
        if self.queued:
            chosen = data.draw(st.sampled_from(self.queued))
            chosen.next_attempt_ms = self.now_ms + delay
            outbox.mark_retry(
                self.conn, [chosen.name], now_ms=self.now_ms, next_attempt_ms=chosen.next_attempt_ms, error="no"
            )

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.queued:
            chosen = data.draw(st.sampled_from(self.queued))
            self.queued.remove(chosen)
            outbox.mark_delivered(self.conn, [chosen.name], self.now_ms)

    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        if self.queued:
            chosen = data.draw(st.sampled_from(self.queued))
            self.queued.remove(chosen)
            self.handed_over.append(chosen)
            chosen.sent_ms = self.now_ms
            outbox.mark_sent(self.conn, [chosen.name], self.now_ms, next_attempt_ms=self.now_ms + 999, via="relay")

    @rule(to_did=st.sampled_from([ANNA, BERT]), grace=st.integers(0, 9))
    def connect(self, to_did: Did, grace: int) -> None:
        outbox.resend(self.conn, to_did, self.now_ms, handed_before_ms=self.now_ms, grace_ms=grace)
        for sent in [sent for sent in self.handed_over if sent.to_did == to_did]:
            sent.next_attempt_ms = max(self.now_ms, sent.sent_ms + grace)
            self.handed_over.remove(sent)
            self.queued.append(sent)
        self.queued.sort(key=lambda sent: int(sent.name[1:]))

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if waiting := [*self.queued, *self.handed_over]:
            chosen = data.draw(st.sampled_from(waiting))
            assert outbox.mark_acknowledged(self.conn, chosen.to_did, [chosen.name], self.now_ms)
            (self.queued if chosen in self.queued else self.handed_over).remove(chosen)

    def expected(self, now_ms: int) -> list[Sent]:
        free, held = [], set()
        for sent in self.queued:
            if sent.next_attempt_ms > now_ms:
                held.add((sent.to_did, sent.thread))
            elif (sent.to_did, sent.thread) not in held:
                free.append(sent)
        return free

    @invariant()
    def agrees(self) -> None:
        free = self.expected(self.now_ms)
        for to_did in (ANNA, BERT):
            assert due(self.conn, self.now_ms, to_did) == [sent.name for sent in free if sent.to_did == to_did]
        due_ms = outbox.recipients_due(self.conn)
        assert due_ms.keys() == {sent.to_did for sent in self.queued}
        for to_did, at in due_ms.items():
            assert any(sent.to_did == to_did for sent in self.expected(at))
            assert not any(sent.to_did == to_did for sent in self.expected(at - 1))

    def teardown(self) -> None:
        self.conn.close()


TestOutboxModel = pytest.mark.slow(OutboxModel.TestCase)


def test_the_queries_of_the_delivery_loop_use_their_indexes(conn: sqlite3.Connection) -> None:
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    outbox.due(conn, ANNA, 0, 10)
    outbox.recipients_due(conn)
    outbox.overdue(conn, 0)
    outbox.carried(conn, ANNA, 0)
    outbox.resend(conn, ANNA, 0, handed_before_ms=0, grace_ms=0)
    outbox.get_outbound(conn, "1")
    conn.set_trace_callback(None)
    assert len(statements) == 6
    for statement in statements:
        plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("USING" in step and "INDEX" in step for step in plan), (statement, plan)
        assert not any("TEMP B-TREE FOR ORDER" in step for step in plan), (statement, plan)
