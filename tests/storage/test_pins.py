import sqlite3

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from storage import pins


def cid(number: int) -> Cid:
    return Cid.of(CODEC_RAW, bytes([number]))


def test_pins_are_one_for_each_cid(conn: sqlite3.Connection) -> None:
    pins.add(conn, cid(1), "direct")
    pins.add(conn, cid(2), "recursive", "playbook")
    pins.add(conn, cid(1), "recursive", "mine")
    assert pins.get(conn, cid(1)) == pins.Pin(1, cid(1), "recursive", "mine")
    assert [pin.cid for pin in pins.list_pins(conn, limit=9, kind="recursive").items] == [cid(1), cid(2)]
    assert pins.list_pins(conn, limit=9, kind="direct").items == ()
    assert [pin.cid for pin in pins.list_pins(conn, limit=9, name="mine").items] == [cid(1)]
    assert pins.everything(conn) == [(cid(1), "recursive"), (cid(2), "recursive")]
    assert pins.remove(conn, cid(1))
    assert not pins.remove(conn, cid(1))
    assert pins.get(conn, cid(1)) is None


def test_receipts_are_kept_and_nobody_is_told(conn: sqlite3.Connection) -> None:
    pins.add(conn, cid(1), "recursive")
    pins.add(conn, cid(2), "recursive", pins.RECEIPT)
    pins.add(conn, cid(3), "direct", "mine")
    assert pins.announced(conn) == [cid(1), cid(3)]
    assert {kept for kept, _ in pins.everything(conn)} == {cid(1), cid(2), cid(3)}
