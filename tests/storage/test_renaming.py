"""One twin, another DID: what waits for it and what was seen of it goes with it; nobody gains by it."""

import sqlite3

from identity.did import Did
from storage import contacts, experiences, outbox
from storage.experiences import Experience
from storage.renaming import is_kept, rename, renamed
from storage.trust import Trust

OLD, NEW, OTHER = Did("did:key:zOld"), Did("did:key:zNew"), Did("did:key:zOther")


def _trust(allow: set[Did], block: set[Did]) -> Trust:
    return Trust(frozenset(allow), frozenset(block), 1.0, auto_adopt=False)


def test_what_waits_and_what_was_seen_goes_with_it(conn: sqlite3.Connection) -> None:
    contacts.put_contact(conn, OLD, services="[]", name="anna", source="invitation", updated_ms=1)
    outbox.queue_outbound(
        conn,
        message_id="1",
        to_did=OLD,
        type="https://example.org/1.0/note",
        thid=None,
        plaintext=b"{}",
        created_ms=0,
        expires_ms=None,
    )
    experiences.note(conn, Experience(OLD, "receipt", "task", 1.0, 0.0, 1))
    rename(conn, OLD, NEW, 2)
    assert contacts.get_contact(conn, OLD) is None
    moved = contacts.get_contact(conn, NEW)
    assert moved is not None
    assert moved.name == "anna"
    assert set(outbox.recipients_due(conn)) == {NEW}
    assert experiences.of_twin(conn, OLD) == []
    assert [one.ref for one in experiences.of_twin(conn, NEW)] == ["task"]


def test_the_new_name_stands_as_the_old_one_stood() -> None:
    assert renamed(_trust({OLD}, set()), OLD, NEW) == _trust({NEW}, set())
    assert renamed(_trust(set(), {OLD}), OLD, NEW) == _trust(set(), {OLD, NEW})
    assert renamed(_trust({OTHER}, set()), OLD, NEW) == _trust({OTHER}, set())


def test_only_those_whom_the_owner_has_to_do_with_are_kept(conn: sqlite3.Connection) -> None:
    assert not is_kept(conn, OLD, _trust({OTHER}, set()))
    assert is_kept(conn, OLD, _trust({OLD}, set()))
    assert is_kept(conn, OLD, _trust(set(), {OLD}))
    contacts.put_contact(conn, OLD, services="[]", name=None, source="invitation", updated_ms=1)
    assert is_kept(conn, OLD, _trust(set(), set()))
