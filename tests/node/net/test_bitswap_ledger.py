from node.net import bitswap_ledger
from node.net.bitswap_ledger import Ledger
from protocols import limits


def ledger() -> Ledger[str]:
    return Ledger()


def test_who_delivers_stands_better_and_who_misses_worse() -> None:
    book = ledger()
    assert book.of("new").standing == 1
    for _ in range(5):
        book.delivered("good", 100)
        book.failed("bad")
    assert [book.of(peer).standing for peer in ("good", "new", "bad")] == [0, 1, 2]
    assert (book.of("good").useful, book.of("good").received_bytes) == (5, 500)


def test_the_last_times_count_most() -> None:
    book = ledger()
    for _ in range(1000):
        book.delivered("peer", 1)
    for _ in range(10):
        book.failed("peer")
    assert book.of("peer").standing == 2
    for _ in range(10):
        book.delivered("peer", 1)
    assert book.of("peer").standing == 0


def test_too_many_unasked_blocks_are_a_fault_and_a_few_are_not() -> None:
    book = ledger()
    for _ in range(limits.UNASKED_BLOCKS_BURST):
        assert not book.misbehaved("peer", 0.0, blocks=1, size_bytes=10)
    assert not book.ignores("peer", 0.0)
    assert book.misbehaved("peer", 0.0, blocks=1, size_bytes=10), "the first time it is told"
    assert not book.misbehaved("peer", 1.0, blocks=1, size_bytes=10)
    assert book.ignores("peer", 1.0)
    assert not book.ignores("other", 1.0)
    assert not book.ignores("peer", limits.BITSWAP_IGNORED_S + 1)
    assert book.of("peer").unsolicited == limits.UNASKED_BLOCKS_BURST + 2


def test_many_at_once_are_as_bad_as_one_after_the_other() -> None:
    assert ledger().misbehaved("peer", 0.0, blocks=limits.UNASKED_BLOCKS_BURST + 1, size_bytes=10)


def test_only_so_many_peers_are_remembered_the_latest_ones() -> None:
    book = ledger()
    for number in range(bitswap_ledger.MAX_PEERS):
        book.delivered(str(number), 1)
    book.of("0")
    book.of("one more")
    assert len(book) == bitswap_ledger.MAX_PEERS
    assert book.of("0").useful == 1
    assert book.of("1").useful == 0, "it was forgotten"
