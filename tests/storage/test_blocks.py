import os
import resource
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from storage import files
from storage.blocks import BlockStore, StoreHold
from storage.errors import BlockMismatch, DatabaseClosed, DatabaseDamaged, StorageFailed, StorageFull

Open = Callable[[Path, int], BlockStore]


@pytest.fixture(params=["rows", "files"])
def small_bytes(request: pytest.FixtureRequest) -> int:
    """The blocks of these tests as rows of `small.db`, as is usual for small ones, and as files, as for large ones."""
    return 64 * 1024 if request.param == "rows" else 0


@pytest.fixture
def opened(small_bytes: int) -> Open:
    return lambda root, quota_bytes: BlockStore(root, quota_bytes, small_bytes=small_bytes)


def pair(block: bytes) -> tuple[Cid, bytes]:
    return Cid.of(CODEC_RAW, block), block


def file_of(root: Path, cid: Cid) -> Path:
    return root / str(cid)[-2] / str(cid)


def everything(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file() and not path.name.startswith("small.db")}


def damage(root: Path, cid: Cid, data: bytes) -> None:
    """Change a block behind the store's back."""
    if file_of(root, cid).exists():
        file_of(root, cid).write_bytes(data)
        return
    with sqlite3.connect(root / "small.db") as conn:
        assert conn.execute("UPDATE blocks SET block = ? WHERE cid = ?", (data, bytes(cid))).rowcount == 1
    conn.close()


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_blocks_come_back_also_after_reopening(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    store.put(cid, block)
    assert store.has(cid)
    assert store.get(cid) == block
    assert store.size_bytes == 5
    again = opened(tmp_path, 1000)
    assert again.size_bytes == 5
    assert again.get(cid) == block
    assert set(again.cids()) == {cid}
    other = Cid.of(CODEC_DAG_CBOR, block)
    assert not again.has(other)
    assert again.get(other) is None


def test_a_block_that_is_not_its_cids_is_refused(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    with pytest.raises(BlockMismatch):
        store.put_many([pair(b"good"), (Cid.of(CODEC_RAW, b"one"), b"another")])
    assert everything(tmp_path) == set()


def test_the_quota_refuses_a_whole_batch_and_frees_with_delete(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 10)
    first = pair(b"123456")
    store.put(*first)
    with pytest.raises(StorageFull, match="6 of 10"):
        store.put_many([pair(b"ab"), pair(b"cde")])
    assert set(store.cids()) == {first[0]}
    store.put(*first)
    assert store.delete(first[0])
    assert not store.delete(first[0])
    store.put_many([pair(b"ab"), pair(b"cde")])
    assert store.size_bytes == 5


def test_a_disk_that_refuses_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20, small_bytes=0)
    small, great = pair(b"small"), pair(os.urandom(5000))
    with files_limited_to(1000), pytest.raises(StorageFull):
        store.put_many([small, great])
    assert everything(tmp_path) == set()
    assert store.size_bytes == 0
    assert not store.has(small[0])
    store.put_many([small, great])
    assert store.get(great[0]) == great[1]


def test_a_folder_that_cannot_be_flushed_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path, 1000, small_bytes=0)

    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("storage.blockfiles.fsync_directory", refuse)
    with pytest.raises(StorageFailed, match="Input/output error"):
        store.put(*pair(b"block"))
    assert everything(tmp_path) == set()
    assert store.size_bytes == 0
    monkeypatch.setattr("storage.blockfiles.fsync_directory", files.fsync_directory)
    store.put(*pair(b"block"))


@pytest.mark.parametrize("changed", [b"", b"hellO", b"hello, longer"])
def test_a_damaged_block_is_moved_aside_and_can_be_put_again(tmp_path: Path, opened: Open, changed: bytes) -> None:
    store = opened(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    damage(tmp_path, cid, changed)
    store = opened(tmp_path, 1000)
    assert store.get(cid) is None
    assert not store.has(cid)
    assert store.size_bytes == 0
    assert (tmp_path / "damaged" / str(cid)).read_bytes() == changed
    store.put(cid, block)
    assert store.get(cid) == block


def test_putting_a_block_heals_a_damaged_one(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    damage(tmp_path, cid, b"hellO")
    store.put(cid, block)
    assert store.get(cid) == block
    assert store.size_bytes == 5


def test_opening_cleans_what_a_crash_left(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1000, small_bytes=0)
    cid, block = pair(b"hello")
    store.put(cid, block)
    (tmp_path / ".tmp" / "left").write_bytes(b"half")
    stranger = file_of(tmp_path, cid).parent / "notes.txt"
    stranger.write_bytes(b"what is this")
    store = BlockStore(tmp_path, 1000, small_bytes=0)
    assert everything(tmp_path) == {file_of(tmp_path, cid), tmp_path / "damaged" / "notes.txt"}
    assert store.size_bytes == 5


def test_a_batch_flushes_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path, 1 << 20, small_bytes=0)
    flushed: list[Path] = []
    monkeypatch.setattr("storage.blockfiles.fsync_directory", flushed.append)
    blocks = [pair(bytes([number])) for number in range(60)]
    store.put_many(blocks)
    folders = {file_of(tmp_path, cid).parent for cid, _ in blocks}
    assert 1 < len(folders) < len(blocks)
    assert sorted(flushed) == sorted(folders)


def test_threads_share_a_store(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1 << 20)
    blocks = [pair(number.to_bytes(2)) for number in range(40)]
    errors: list[BaseException] = []

    def work(turn: int) -> None:
        try:
            for cid, block in blocks[turn:] + blocks[:turn]:
                store.put(cid, block)
                assert store.get(cid) == block
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(turn,)) for turn in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.size_bytes == 80
    assert opened(tmp_path, 1 << 20).size_bytes == 80


LARGE = 70_000
"""A block of this size is a file."""


def test_small_ones_are_rows_and_large_ones_files(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20)
    small, large = pair(b"small"), pair(os.urandom(LARGE))
    store.put_many([small, large])
    assert everything(tmp_path) == {file_of(tmp_path, large[0])}
    again = BlockStore(tmp_path, 1 << 20)
    assert {cid: again.get(cid) for cid in again.cids()} == dict([small, large])
    assert (again.count, again.size_bytes) == (2, 5 + LARGE)
    assert (again.size_of(small[0]), again.size_of(large[0])) == (5, LARGE)


def test_a_home_whose_small_blocks_are_files_still_works(tmp_path: Path) -> None:
    cid, block = pair(b"small")
    BlockStore(tmp_path, 1000, small_bytes=0).put(cid, block)
    store = BlockStore(tmp_path, 1000)
    store.put(cid, block)
    assert (store.get(cid), store.count, store.size_bytes) == (block, 1, 5)
    assert list(store.cids()) == [cid]
    assert store.delete(cid)
    assert everything(tmp_path) == set()


def test_rows_that_are_refused_take_the_files_of_their_batch_with_them(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20)
    large = pair(os.urandom(LARGE))
    other = sqlite3.connect(tmp_path / "small.db", isolation_level=None)
    other.execute("CREATE TRIGGER refuse BEFORE INSERT ON blocks BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        store.put_many([pair(b"small"), large])
    assert everything(tmp_path) == set()
    assert (store.count, store.size_bytes) == (0, 0)
    other.execute("DROP TRIGGER refuse")
    other.close()
    store.put_many([pair(b"small"), large])


def test_a_disk_that_refuses_rows_leaves_nothing(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20)
    blocks = [pair(os.urandom(5000)) for _ in range(20)]
    with files_limited_to(20_000), pytest.raises(StorageFailed):
        store.put_many(blocks)
    assert (list(store.cids()), store.size_bytes) == ([], 0)
    store.put_many(blocks)
    assert set(BlockStore(tmp_path, 1 << 20).cids()) == {cid for cid, _ in blocks}


def test_a_damaged_file_of_rows_is_said(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20)
    store.put(*pair(b"block"))
    store.close()
    (tmp_path / "small.db").write_bytes(b"no database" * 1000)
    with pytest.raises(DatabaseDamaged, match=r"small\.db"):
        BlockStore(tmp_path, 1 << 20)


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20)
    store.close()
    with pytest.raises(DatabaseClosed):
        store.put(*pair(b"block"))
    with pytest.raises(DatabaseClosed):
        store.get(pair(b"block")[0])


def test_a_collection_takes_what_nothing_needs(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    live, held, dead = pair(b"live"), pair(b"held"), pair(b"dead!")
    store.put_many([live, dead, held])
    with store.hold() as hold:
        hold.keep([held[0]])
        assert store.collect(lambda: {live[0]}) == (1, 5)
        assert set(store.cids()) == {live[0], held[0]}
    assert store.collect(lambda: {live[0]}) == (1, 4)
    assert (list(store.cids()), store.count, store.size_bytes) == ([live[0]], 1, 4)


def test_a_collection_spares_what_comes_while_it_runs(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    kept, held, put = pair(b"kept"), pair(b"held"), pair(b"put")
    store.put(*kept)
    with store.hold() as before:
        before.put_many([held])

        def live() -> set[Cid]:
            store._release(before)  # its transfer ends, and it pins, after the live blocks were looked up
            store.put(*put)
            with store.hold() as hold:
                hold.keep([kept[0]])
            return set()

        assert store.collect(live) == (0, 0)
    assert store.collect(set) == (3, 11)


def test_a_collection_that_is_broken_off_takes_nothing(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    store.put(*pair(b"block"))

    def live() -> set[Cid]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.collect(live)
    assert store.count == 1
    assert store.collect(set) == (1, 5)


def test_rolling_back_takes_what_the_hold_alone_brought(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1000)
    older, own, shared, put_again = pair(b"older"), pair(b"own"), pair(b"shared"), pair(b"put again")
    store.put(*older)
    with store.hold() as hold, store.hold() as other:
        hold.put_many([older, own, shared, put_again])
        other.keep([shared[0]])
        store.put(*put_again)
        hold.roll_back()
        hold.roll_back()
        assert set(store.cids()) == {older[0], shared[0], put_again[0]}
        other.roll_back()
    assert set(store.cids()) == {older[0], shared[0], put_again[0]}
    assert store.size_bytes == 5 + 6 + 9


def test_what_another_one_wants_while_it_is_written_is_not_rolled_back(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, 1000)
    cid, block = pair(b"both want it")
    waiting = threading.Event()
    wait, write = store._wait_until_written, store._write

    def tell_and_wait(cids: Iterable[Cid]) -> None:
        if store._writing:
            waiting.set()
        wait(cids)

    def write_while_the_other_waits(blocks: Mapping[Cid, bytes]) -> None:
        other.start()
        assert waiting.wait(10)
        write(blocks)

    monkeypatch.setattr(store, "_wait_until_written", tell_and_wait)
    monkeypatch.setattr(store, "_write", write_while_the_other_waits)
    other = threading.Thread(target=store.put, args=(cid, block))
    with store.hold() as hold:
        hold.put_many([(cid, block)])
        other.join()
        hold.roll_back()
    assert store.get(cid) == block


def test_a_hold_that_was_left_takes_nothing_more(tmp_path: Path, opened: Open) -> None:
    """A thread cannot be stopped: it may come to its block when whoever sent it has been cancelled."""
    store = opened(tmp_path, 1000)
    kept, late = pair(b"kept"), pair(b"late")
    store.put(*kept)
    with store.hold() as hold:
        pass
    for use in (lambda: hold.put_many([late]), lambda: hold.keep([kept[0]])):
        with pytest.raises(RuntimeError, match="was left"):
            use()
    assert store.collect(set) == (1, 4)
    assert store.count == 0


def test_a_hold_is_left_when_what_it_writes_is_written(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, 1000)
    writing, leaving = threading.Event(), threading.Event()
    wait, write = store._wait_until_written, store._write

    def tell_and_wait(cids: Iterable[Cid]) -> None:
        if store._writing:
            leaving.set()
        wait(cids)

    def write_while_the_hold_is_left(blocks: Mapping[Cid, bytes]) -> None:
        writing.set()
        assert leaving.wait(10)
        write(blocks)

    with store.hold() as hold:
        late = threading.Thread(target=hold.put_many, args=([pair(b"late")],))
        monkeypatch.setattr(store, "_write", write_while_the_hold_is_left)
        late.start()
        assert writing.wait(10)
        monkeypatch.setattr(store, "_wait_until_written", tell_and_wait)
    assert (store._held, store._brought, store._writing) == ({}, {}, {})
    assert store.collect(set) == (1, 4)
    late.join()


def test_a_full_disk_gives_up_its_files_before_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path, 1000, small_bytes=8)
    row, file = pair(b"row"), pair(b"a block in a file")
    store.put_many([row, file])

    def refuse(_: object) -> None:
        raise StorageFull("the log of the rows cannot grow")

    with monkeypatch.context() as full:
        full.setattr(store._small, "remove", refuse)
        with pytest.raises(StorageFull):
            store.collect(set)
    assert set(store.cids()) == {row[0]}
    assert (store.count, store.size_bytes) == (1, 3)
    assert store.collect(set) == (1, 3)


def test_what_somebody_put_among_the_blocks_stops_no_collection(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1000, small_bytes=0)
    store.put(*pair(b"tide"))
    (tmp_path / "a" / ".DS_Store").write_bytes(b"not ours")
    assert store.collect(set) == (1, 4)
    assert (tmp_path / "a" / ".DS_Store").exists()


def test_threads_never_pass_the_quota_nor_fall_short_of_it(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 100)
    blocks = [pair(bytes([number] * 10)) for number in range(20)]
    refused: list[Cid] = []

    def work(turn: int) -> None:
        for cid, block in blocks[turn:] + blocks[:turn]:
            try:
                store.put(cid, block)
            except StorageFull:
                refused.append(cid)
            assert store.size_bytes <= 100

    in_threads(work, (0, 5, 10, 15))
    assert store.size_bytes == 100 == sum(store.size_of(cid) for cid in store.cids())
    assert len(set(refused)) >= 10


@pytest.mark.slow
def test_threads_that_put_hold_and_collect(tmp_path: Path, opened: Open) -> None:
    store = opened(tmp_path, 1 << 20)
    pinned: set[Cid] = set()

    def work(turn: int) -> None:
        for number in range(60):
            blocks = [pair(f"{(turn + number + step) % 40}".encode()) for step in range(3)]
            with store.hold() as hold:
                hold.put_many(blocks)
                if number % 3 == 0:
                    hold.roll_back()
                    continue
                assert [store.get(cid) for cid, _ in blocks] == [block for _, block in blocks]
                if number % 3 == 1:
                    pinned.add(blocks[0][0])
            if number % 5 == 0:
                store.collect(lambda: set(pinned))
            assert all(store.has(cid) for cid in list(pinned))

    in_threads(work, (0, 1, 2, 3))
    store.collect(lambda: pinned)
    assert set(store.cids()) == pinned
    again = opened(tmp_path, 1 << 20)
    assert (again.count, again.size_bytes) == (store.count, store.size_bytes)


def in_threads(work: Callable[[int], None], turns: Iterable[int]) -> None:
    """Run `work` once for each turn, all at once; the first error is raised."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, turns))


class BlockStoreModel(RuleBasedStateMachine):
    """The store against a dictionary, with one transfer under way or none."""

    quota = 60
    small_bytes = 8
    """Some of the blocks are rows and some are files."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.kept: dict[Cid, bytes] = {}
        self.leave = ExitStack()
        self.open()

    def open(self) -> None:
        self.leave.close()
        self.store = BlockStore(self.root, self.quota, small_bytes=self.small_bytes)
        self.hold: StoreHold | None = None
        self.held: set[Cid] = set()
        self.brought: set[Cid] = set()

    @rule(blocks=st.lists(st.binary(min_size=1, max_size=20), max_size=4), through_hold=st.booleans())
    def put(self, blocks: list[bytes], through_hold: bool) -> None:
        wanted = dict(pair(block) for block in blocks)
        hold = self.hold if through_hold else None
        put = self.store.put_many if hold is None else hold.put_many
        if sum(map(len, (self.kept | wanted).values())) > self.quota:
            with pytest.raises(StorageFull):
                put(wanted.items())
        else:
            put(wanted.items())
            if hold is not None:
                self.brought |= wanted.keys() - self.kept.keys()
            self.kept |= wanted
        if hold is None:
            self.brought -= wanted.keys()
        else:
            self.held |= wanted.keys()

    @precondition(lambda self: self.hold is None)
    @rule()
    def begin(self) -> None:
        self.hold = self.leave.enter_context(self.store.hold())

    @precondition(lambda self: self.hold is not None)
    @rule(roll_back=st.booleans())
    def end(self, roll_back: bool) -> None:
        assert self.hold is not None
        if roll_back:
            self.hold.roll_back()
            self.kept = {cid: block for cid, block in self.kept.items() if cid not in self.brought}
        self.leave.close()
        self.hold, self.held, self.brought = None, set(), set()

    @rule(data=st.data())
    def collect(self, data: st.DataObject) -> None:
        live = data.draw(st.sets(st.sampled_from(sorted(self.kept)))) if self.kept else set()
        stay = {cid: block for cid, block in self.kept.items() if cid in live | self.held}
        went = [len(block) for cid, block in self.kept.items() if cid not in stay]
        assert self.store.collect(lambda: live) == (len(went), sum(went))
        self.kept = stay

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.kept:
            cid = data.draw(st.sampled_from(sorted(self.kept)))
            assert self.store.delete(cid)
            del self.kept[cid]

    @rule()
    def reopen(self) -> None:
        self.open()

    @invariant()
    def holds_what_it_should(self) -> None:
        if hasattr(self, "store"):
            assert {cid: self.store.get(cid) for cid in self.store.cids()} == self.kept
            assert self.store.size_bytes == sum(map(len, self.kept.values()))
            assert self.store.count == len(self.kept)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.leave.close()
            self.folder.cleanup()


TestBlockStoreModel = pytest.mark.slow(BlockStoreModel.TestCase)
BlockStoreModel.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
