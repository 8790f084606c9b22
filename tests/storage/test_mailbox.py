import sqlite3

import pytest

from identity.did import Did
from storage import mailbox
from storage.errors import BadCursor

ME, ANNA, BERT = Did("did:key:zMe"), Did("did:key:zAnna"), Did("did:key:zBert")


def receive(
    conn: sqlite3.Connection,
    message_id: str,
    from_did: Did | None = ANNA,
    status: mailbox.InboxStatus = "received",
    plaintext: bytes = b"{}",
    to_did: Did = ME,
) -> bool:
    return mailbox.put_inbound(
        conn,
        message_id=message_id,
        from_did=from_did,
        to_did=to_did,
        type="https://example.org/1.0/note",
        thid=None,
        plaintext=plaintext,
        created_time=5,
        received_ms=7,
        status=status,
    )


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


def test_it_is_known_by_which_names_somebody_wrote_to_us(conn: sqlite3.Connection) -> None:
    former, other = Did("did:key:zFormer"), Did("did:web:me.example")
    receive(conn, "1", to_did=former)
    receive(conn, "2", to_did=other)
    receive(conn, "3", from_did=BERT)
    assert mailbox.written_to(conn, ANNA, [ME, other]) == other
    assert mailbox.written_to(conn, ANNA, [ME]) is None
    assert mailbox.written_to(conn, BERT, [ME, other]) == ME


def test_the_queries_of_the_inbox_use_their_indexes(conn: sqlite3.Connection) -> None:
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    mailbox.count_requests(conn, ANNA)
    mailbox.unhandled(conn, 10)  # sorts what waits, which is bounded for each sender
    mailbox.count_unhandled(conn, ANNA, ["x"])
    mailbox.written_to(conn, ANNA, [ME])
    conn.set_trace_callback(None)
    assert len(statements) == 4
    for statement in statements:
        plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("USING" in step and "INDEX" in step for step in plan), (statement, plan)
