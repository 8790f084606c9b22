import sqlite3
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from identity.did import Did
from storage import mailbox
from storage.errors import BadCursor
from storage.migrate import shipped_migrations

ME, ANNA, BERT = Did("did:key:zMe"), Did("did:key:zAnna"), Did("did:key:zBert")


def receive(
    conn: sqlite3.Connection,
    message_id: str,
    from_did: Did | None = ANNA,
    status: mailbox.InboxStatus = "received",
    plaintext: bytes = b"{}",
) -> bool:
    return mailbox.put_inbound(
        conn,
        message_id=message_id,
        from_did=from_did,
        to_did=ME,
        type="https://example.org/1.0/note",
        thid=None,
        plaintext=plaintext,
        created_time=5,
        received_ms=7,
        status=status,
    )


def queue(conn: sqlite3.Connection, message_id: str, to_did: Did = ANNA, thid: str | None = None, **more: int) -> None:
    mailbox.queue_outbound(
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
    return [row.message_id for row in mailbox.due(conn, to_did, now_ms, limit)]


def test_a_message_is_kept_once_for_each_sender(conn: sqlite3.Connection) -> None:
    assert receive(conn, "1", plaintext=b"first")
    assert not receive(conn, "1", plaintext=b"second")
    assert receive(conn, "1", BERT)
    assert receive(conn, "1", None)
    assert not receive(conn, "1", None)
    row = mailbox.get_inbound(conn, ANNA, "1")
    assert row == mailbox.InboxRow(1, "1", ANNA, ME, "https://example.org/1.0/note", None, b"first", 5, 7, "received")
    anonymous = mailbox.get_inbound(conn, None, "1")
    assert anonymous is not None
    assert anonymous.from_did is None
    assert mailbox.get_inbound(conn, ANNA, "2") is None


def test_a_handled_message_is_not_handled_again_when_it_arrives_again(conn: sqlite3.Connection) -> None:
    for number in ("1", "2", "3"):
        receive(conn, number)
    mailbox.mark_handled(conn, ANNA, "2")
    mailbox.mark_handled(conn, ANNA, "3", "refused")
    assert not receive(conn, "2")
    assert [row.message_id for row in mailbox.unhandled(conn, 10)] == ["1"]
    assert [row.status for row in mailbox.inbox(conn, limit=10).items] == ["refused", "handled", "received"]


def test_requests_are_counted_and_wait_until_they_are_accepted(conn: sqlite3.Connection) -> None:
    receive(conn, "1", ANNA, "request")
    receive(conn, "2", ANNA, "request")
    receive(conn, "1", BERT, "request")
    receive(conn, "3", ANNA)
    assert mailbox.count_requests(conn, ANNA) == 2
    assert mailbox.count_all_requests(conn) == 3
    assert [row.message_id for row in mailbox.unhandled(conn, 10)] == ["3"]
    assert mailbox.accept_requests(conn, ANNA) == 2
    assert mailbox.count_requests(conn, ANNA) == 0
    assert mailbox.count_requests(conn, BERT) == 1
    assert [row.message_id for row in mailbox.unhandled(conn, 10)] == ["1", "2", "3"]


def test_senders_take_turns(conn: sqlite3.Connection) -> None:
    for number in ("1", "2", "3"):
        receive(conn, number, ANNA)
    for number in ("4", "5"):
        receive(conn, number, BERT)
    in_turn = ["1", "4", "2", "5", "3"]
    assert [row.message_id for row in mailbox.unhandled(conn, 9)] == in_turn
    assert [row.message_id for row in mailbox.unhandled(conn, 2)] == in_turn[:2]
    assert mailbox.unhandled(conn, 1) == [mailbox.Unhandled(1, "1", ANNA, "https://example.org/1.0/note")]


def test_what_waits_is_counted_by_sender_and_type(conn: sqlite3.Connection) -> None:
    for number in ("1", "2", "3"):
        receive(conn, number, ANNA)
    receive(conn, "4", BERT)
    mailbox.mark_handled(conn, ANNA, "2")
    note = "https://example.org/1.0/note"
    assert mailbox.count_unhandled(conn, ANNA, ["other", note]) == 2
    assert mailbox.count_unhandled(conn, ANNA, ["other"]) == mailbox.count_unhandled(conn, ANNA, []) == 0


def test_the_inbox_pages_newest_first(conn: sqlite3.Connection) -> None:
    for number in range(5):
        receive(conn, str(number))
    page = mailbox.inbox(conn, limit=2)
    assert [row.message_id for row in page.items] == ["4", "3"]
    page = mailbox.inbox(conn, limit=3, after=page.next)
    assert [row.message_id for row in page.items] == ["2", "1", "0"]
    assert page.next is None
    mailbox.mark_handled(conn, ANNA, "1")
    assert [row.message_id for row in mailbox.inbox(conn, limit=9, status="handled").items] == ["1"]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "٣", "9" * 19, "1" * 5000])
def test_a_cursor_that_no_list_gave_is_refused(conn: sqlite3.Connection, cursor: str) -> None:
    with pytest.raises(BadCursor):
        mailbox.inbox(conn, limit=1, after=cursor)


def test_queueing_an_id_again_changes_nothing(conn: sqlite3.Connection) -> None:
    queue(conn, "1")
    mailbox.mark_delivered(conn, ["1"], 9)
    queue(conn, "1", BERT)
    row = mailbox.get_outbound(conn, "1")
    assert row is not None
    assert (row.to_did, row.status, row.delivered_ms) == (ANNA, "delivered", 9)
    assert mailbox.get_outbound(conn, "2") is None
    assert due(conn) == []


def test_a_waiting_message_holds_back_its_thread_and_nothing_else(conn: sqlite3.Connection) -> None:
    queue(conn, "a1", thid="a")
    queue(conn, "b1", thid="b")
    queue(conn, "a2", thid="a")
    queue(conn, "a3", BERT, thid="a")
    mailbox.mark_retry(conn, ["a1"], now_ms=0, next_attempt_ms=50, error="unreachable")
    assert due(conn) == ["b1"]
    assert due(conn, to_did=BERT) == ["a3"]
    assert due(conn, 50) == ["a1", "b1", "a2"]
    assert due(conn, 50, limit=2) == ["a1", "b1"]
    row = mailbox.get_outbound(conn, "a1")
    assert row is not None
    assert (row.attempts, row.next_attempt_ms, row.last_error) == (1, 50, "unreachable")


def test_the_first_message_of_a_thread_holds_back_those_that_name_it(conn: sqlite3.Connection) -> None:
    queue(conn, "first")
    queue(conn, "second", thid="first")
    mailbox.mark_retry(conn, ["first"], now_ms=0, next_attempt_ms=50, error="unreachable")
    assert due(conn) == []
    mailbox.mark_failed(conn, ["first"], error="given up")
    assert due(conn) == ["second"]


def test_next_due_is_when_something_can_really_be_sent(conn: sqlite3.Connection) -> None:
    assert mailbox.recipients_due(conn) == {}
    queue(conn, "first")
    queue(conn, "second", thid="first")  # due by its own time, but held back
    mailbox.mark_retry(conn, ["first"], now_ms=0, next_attempt_ms=50, error="unreachable")
    assert mailbox.recipients_due(conn) == {ANNA: 50}
    queue(conn, "other", BERT)
    assert mailbox.recipients_due(conn) == {ANNA: 50, BERT: 0}
    assert mailbox.retry_now(conn, ANNA, 20) == 1
    assert due(conn, 20) == ["first", "second"]


def test_delivered_is_final_and_failed_is_not_sent_again(conn: sqlite3.Connection) -> None:
    for name in ("1", "2"):
        queue(conn, name)
    mailbox.mark_delivered(conn, ["1"], 5)
    mailbox.mark_failed(conn, ["1", "2"], error="given up")
    mailbox.mark_retry(conn, ["1", "2"], now_ms=0, next_attempt_ms=0, error="again")
    states = [(row.message_id, row.status, row.attempts) for row in mailbox.outbox(conn, limit=9).items]
    assert states == [("2", "failed", 0), ("1", "delivered", 0)]
    mailbox.mark_delivered(conn, ["2"], 6)  # its acknowledgement came late
    row = mailbox.get_outbound(conn, "2")
    assert row is not None
    assert (row.status, row.last_error) == ("delivered", None)


def test_what_is_put_off_waits_for_the_attempt_or_its_end(conn: sqlite3.Connection) -> None:
    queue(conn, "1", expires_ms=10)
    queue(conn, "2", expires_ms=99)
    queue(conn, "3", BERT)
    mailbox.mark_failed(conn, ["2"], error="refused")
    queue(conn, "4")
    mailbox.put_off(conn, ANNA, next_attempt_ms=50, error="unreachable")
    states = [
        (row.message_id, row.attempts, row.next_attempt_ms, row.last_error)
        for row in mailbox.outbox(conn, limit=9).items
    ]
    assert states == [
        ("4", 1, 50, "unreachable"),
        ("3", 0, 0, None),
        ("2", 0, 0, "refused"),
        ("1", 1, 10, "unreachable"),
    ]
    assert mailbox.recipients_due(conn) == {BERT: 0, ANNA: 10}


@dataclass
class Sent:
    name: str
    to_did: Did
    thread: str
    next_attempt_ms: int = 0


class OutboxModel(RuleBasedStateMachine):
    """The outbox against a plain list: what may be sent is what no older message of its thread holds back."""

    def __init__(self) -> None:
        super().__init__()
        # The schema without files, since this runs many times.
        self.conn = sqlite3.connect(":memory:", isolation_level=None)
        for step in shipped_migrations():
            self.conn.executescript(step.sql)
        self.queued: list[Sent] = []
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
            mailbox.mark_retry(
                self.conn, [chosen.name], now_ms=self.now_ms, next_attempt_ms=chosen.next_attempt_ms, error="no"
            )

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.queued:
            chosen = data.draw(st.sampled_from(self.queued))
            self.queued.remove(chosen)
            mailbox.mark_delivered(self.conn, [chosen.name], self.now_ms)

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
        due_ms = mailbox.recipients_due(self.conn)
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
    mailbox.due(conn, ANNA, 0, 10)
    mailbox.recipients_due(conn)
    mailbox.count_requests(conn, ANNA)
    mailbox.unhandled(conn, 10)  # sorts what waits, which is bounded for each sender
    mailbox.count_unhandled(conn, ANNA, ["x"])
    conn.set_trace_callback(None)
    assert len(statements) == 5
    for statement in statements:
        plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("USING" in step and "INDEX" in step for step in plan), (statement, plan)
        assert "row_number" in statement or not any("TEMP B-TREE FOR ORDER" in step for step in plan), (statement, plan)
