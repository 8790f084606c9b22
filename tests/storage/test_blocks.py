import os
import resource
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from storage import files
from storage.blocks import BlockStore
from storage.errors import BlockMismatch, StorageFailed, StorageFull


def pair(block: bytes) -> tuple[Cid, bytes]:
    return Cid.of(CODEC_RAW, block), block


def file_of(root: Path, cid: Cid) -> Path:
    return root / str(cid)[-2] / str(cid)


def everything(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_blocks_come_back_also_after_reopening(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    store.put(cid, block)
    assert store.has(cid)
    assert store.get(cid) == block
    assert store.size_bytes == 5
    again = BlockStore(tmp_path, 1000)
    assert again.size_bytes == 5
    assert again.get(cid) == block
    assert set(again.cids()) == {cid}
    other = Cid.of(CODEC_DAG_CBOR, block)
    assert not again.has(other)
    assert again.get(other) is None


def test_a_block_that_is_not_its_cids_is_refused(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1000)
    with pytest.raises(BlockMismatch):
        store.put_many([pair(b"good"), (Cid.of(CODEC_RAW, b"one"), b"another")])
    assert everything(tmp_path) == set()


def test_the_quota_refuses_a_whole_batch_and_frees_with_delete(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 10)
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
    store = BlockStore(tmp_path, 1 << 20)
    small, great = pair(b"small"), pair(os.urandom(5000))
    with files_limited_to(1000), pytest.raises(StorageFull):
        store.put_many([small, great])
    assert everything(tmp_path) == set()
    assert store.size_bytes == 0
    assert not store.has(small[0])
    store.put_many([small, great])
    assert store.get(great[0]) == great[1]


def test_a_folder_that_cannot_be_flushed_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path, 1000)

    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("storage.blocks.fsync_directory", refuse)
    with pytest.raises(StorageFailed, match="Input/output error"):
        store.put(*pair(b"block"))
    assert everything(tmp_path) == set()
    assert store.size_bytes == 0
    monkeypatch.setattr("storage.blocks.fsync_directory", files.fsync_directory)
    store.put(*pair(b"block"))


@pytest.mark.parametrize("damage", [b"", b"hellO", b"hello, longer"])
def test_a_damaged_block_is_moved_aside_and_can_be_put_again(tmp_path: Path, damage: bytes) -> None:
    store = BlockStore(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    file_of(tmp_path, cid).write_bytes(damage)
    store = BlockStore(tmp_path, 1000)
    assert store.get(cid) is None
    assert not store.has(cid)
    assert store.size_bytes == 0
    assert (tmp_path / "damaged" / str(cid)).read_bytes() == damage
    store.put(cid, block)
    assert store.get(cid) == block


def test_putting_a_block_heals_a_damaged_one(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    file_of(tmp_path, cid).write_bytes(b"hellO")
    store.put(cid, block)
    assert store.get(cid) == block
    assert store.size_bytes == 5


def test_opening_cleans_what_a_crash_left(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1000)
    cid, block = pair(b"hello")
    store.put(cid, block)
    (tmp_path / ".tmp" / "left").write_bytes(b"half")
    stranger = file_of(tmp_path, cid).parent / "notes.txt"
    stranger.write_bytes(b"what is this")
    store = BlockStore(tmp_path, 1000)
    assert everything(tmp_path) == {file_of(tmp_path, cid), tmp_path / "damaged" / "notes.txt"}
    assert store.size_bytes == 5


def test_a_batch_flushes_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path, 1 << 20)
    flushed: list[Path] = []
    monkeypatch.setattr("storage.blocks.fsync_directory", flushed.append)
    blocks = [pair(bytes([number])) for number in range(60)]
    store.put_many(blocks)
    folders = {file_of(tmp_path, cid).parent for cid, _ in blocks}
    assert 1 < len(folders) < len(blocks)
    assert sorted(flushed) == sorted(folders)


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = BlockStore(tmp_path, 1 << 20)
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
    assert BlockStore(tmp_path, 1 << 20).size_bytes == 80


class BlockStoreModel(RuleBasedStateMachine):
    """The store against a dictionary."""

    quota = 60

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.store = BlockStore(self.root, self.quota)
        self.kept: dict[Cid, bytes] = {}

    @rule(blocks=st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    def put(self, blocks: list[bytes]) -> None:
        wanted = dict(pair(block) for block in blocks)
        fits = sum(map(len, (self.kept | wanted).values())) <= self.quota
        if fits:
            self.store.put_many(wanted.items())
            self.kept |= wanted
        else:
            with pytest.raises(StorageFull):
                self.store.put_many(wanted.items())

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.kept:
            cid = data.draw(st.sampled_from(sorted(self.kept)))
            assert self.store.delete(cid)
            del self.kept[cid]

    @rule()
    def reopen(self) -> None:
        self.store = BlockStore(self.root, self.quota)

    @invariant()
    def holds_what_it_should(self) -> None:
        if hasattr(self, "store"):
            assert {cid: self.store.get(cid) for cid in self.store.cids()} == self.kept
            assert self.store.size_bytes == sum(map(len, self.kept.values()))

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestBlockStoreModel = pytest.mark.slow(BlockStoreModel.TestCase)
BlockStoreModel.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
