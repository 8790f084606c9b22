import sqlite3

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from storage import hosted_pins, needed, remote_pins

ADA, BOB = Did("did:key:zAda"), Did("did:key:zBob")


def cid(number: int) -> Cid:
    return Cid.of(CODEC_RAW, bytes([number]))


def test_a_wish_is_kept_once_and_can_be_repeated(conn: sqlite3.Connection) -> None:
    hosted_pins.add(conn, ADA, cid(1), "one", 10)
    hosted_pins.add(conn, ADA, cid(1), "again", 20)
    pin = hosted_pins.get(conn, ADA, cid(1))
    assert pin == hosted_pins.HostedPin(1, ADA, cid(1), "again", "queued", None, 0, 10, 20)
    assert hosted_pins.note(conn, 1, "failed", size_bytes=0, reason="too large", now_ms=30)
    hosted_pins.add(conn, ADA, cid(1), "again", 40)
    pin = hosted_pins.get(conn, ADA, cid(1))
    assert pin == hosted_pins.HostedPin(1, ADA, cid(1), "again", "queued", None, 0, 40, 40)
    hosted_pins.note(conn, 1, "pinned", size_bytes=7, reason=None, now_ms=50)
    hosted_pins.add(conn, ADA, cid(1), None, 60)
    pin = hosted_pins.get(conn, ADA, cid(1))
    assert pin is not None
    assert (pin.status, pin.size_bytes) == ("pinned", 7)
    assert hosted_pins.remove(conn, ADA, cid(1))
    assert not hosted_pins.remove(conn, ADA, cid(1))
    assert not hosted_pins.note(conn, 1, "pinned", size_bytes=7, reason=None, now_ms=70)


def test_each_client_has_its_turn_and_its_share(conn: sqlite3.Connection) -> None:
    for number, client in enumerate((ADA, ADA, BOB)):
        hosted_pins.add(conn, client, cid(number), None, number)
        hosted_pins.note(conn, number + 1, "queued", size_bytes=10, reason=None, now_ms=number)
    assert [(pin.client, pin.cid) for pin in hosted_pins.unfinished(conn)] == [(ADA, cid(0)), (BOB, cid(2))]
    hosted_pins.note(conn, 1, "pinning", size_bytes=15, reason=None, now_ms=9)
    assert [(pin.client, pin.cid) for pin in hosted_pins.unfinished(conn)] == [(ADA, cid(1)), (BOB, cid(2))]
    assert (hosted_pins.used_bytes(conn, ADA), hosted_pins.used_bytes(conn)) == (25, 35)
    assert (hosted_pins.count(conn, ADA), hosted_pins.count(conn)) == (2, 3)
    assert [pin.cid for pin in hosted_pins.newest(conn, ADA, 1)] == [cid(0)]
    page = hosted_pins.list_pins(conn, limit=2)
    assert [pin.cid for pin in page.items] == [cid(0), cid(1)]
    assert [pin.cid for pin in hosted_pins.list_pins(conn, limit=2, after=page.next).items] == [cid(2)]
    assert set(hosted_pins.clients(conn)) == {ADA, BOB}
    assert hosted_pins.remove_client(conn, ADA) == 2
    assert hosted_pins.count(conn) == 1


def test_a_collection_spares_what_is_kept_for_others(conn: sqlite3.Connection) -> None:
    for number, status in enumerate(("queued", "pinning", "pinned", "failed")):
        hosted_pins.add(conn, ADA, cid(number), None, 0)
        hosted_pins.note(conn, number + 1, status, size_bytes=0, reason=None, now_ms=0)  # type: ignore[arg-type]
    assert needed.roots(conn) == {cid(0), cid(1), cid(2)}


def test_another_name_of_a_client_or_a_host(conn: sqlite3.Connection) -> None:
    new = Did("did:key:zNew")
    hosted_pins.add(conn, ADA, cid(1), None, 0)
    hosted_pins.add(conn, ADA, cid(2), None, 0)
    hosted_pins.add(conn, new, cid(2), None, 0)
    remote_pins.add(conn, ADA, cid(3), None, 0)
    hosted_pins.succeed(conn, ADA, new)
    assert {pin.cid for pin in hosted_pins.list_pins(conn, limit=9).items if pin.client == new} == {cid(1), cid(2)}
    assert hosted_pins.clients(conn) == [new]
    assert remote_pins.get(conn, new, cid(3)) is not None


def test_a_wish_with_a_host_goes_through_its_states(conn: sqlite3.Connection) -> None:
    pin = remote_pins.add(conn, BOB, cid(1), "one", 10)
    assert (pin.status, pin.settled) == ("asking", False)
    assert remote_pins.hosts_to_ask(conn) == [BOB]
    assert remote_pins.note(conn, pin, "queued", None, 20)
    assert not remote_pins.note(conn, pin, "pinned", None, 30), "what was asked for before it changed"
    (pin,) = remote_pins.unsettled(conn, BOB, 9)
    assert not remote_pins.note(conn, pin, "queued", None, 40), "no news"
    assert remote_pins.note(conn, pin, "pinned", None, 50)
    assert remote_pins.hosts_to_ask(conn) == []
    assert remote_pins.unsettled(conn, BOB, 9) == []
    assert remote_pins.end(conn, BOB, cid(1), 60)
    assert remote_pins.hosts_to_ask(conn) == [BOB]
    again = remote_pins.add(conn, BOB, cid(1), None, 70)
    remote_pins.remove(conn, again.seq)
    assert remote_pins.get(conn, BOB, cid(1)) == again, "it is wanted again"
    remote_pins.end(conn, BOB, cid(1), 80)
    remote_pins.remove(conn, again.seq)
    assert remote_pins.list_pins(conn, limit=9).items == ()
    assert not remote_pins.end(conn, BOB, cid(1), 90)
