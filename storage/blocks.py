"""The block store: blocks by their CID, under a quota, with holds and a garbage collection.

    blocks/small.db            blocks of at most MAX_SMALL_BYTES (storage/smallblocks.py)
    blocks/<character>/<cid>   larger ones, and small ones of older homes (storage/blockfiles.py)
    blocks/damaged/<cid>       a block whose bytes no longer have its hash, moved aside

A block is on disk, content and name, when `put` returns. Synchronous and thread-safe; reading takes no lock. One lock
guards the books: what is held, what is being written, how much there is. Nobody flushes a disk with it, but removals:
those must not come between somebody's look whether a block is here and their word that it is.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Final

from identity.cid import Cid
from storage.blockfiles import BlockFiles
from storage.errors import BlockMismatch, StorageFull
from storage.files import as_storage_error, atomic_write
from storage.smallblocks import FILE_NAME, SmallBlocks

MAX_SMALL_BYTES: Final = 64 * 1024
"""Up to here a row is written several times faster than a file (docs/decisions/storage.md)."""

_REMOVED_AT_ONCE: Final = 64
"""Blocks that a collection removes before it lets others to the books."""

logger = logging.getLogger(__name__)


class BlockStore:
    """Blocks in the folder `root`, at most `quota_bytes` of them all together (contents, not file-system overhead).

    Opening reads every name and size once. Raises StorageError.
    """

    def __init__(self, root: Path, quota_bytes: int, *, small_bytes: int = MAX_SMALL_BYTES) -> None:
        self._damaged = root / "damaged"
        self._small_bytes = small_bytes
        self.quota_bytes: Final = quota_bytes
        self._files = BlockFiles(root, self._damaged)
        self._small = SmallBlocks(root / FILE_NAME)
        self._count, self._size_bytes = map(sum, zip(self._files.found, self._small.found, strict=True))
        self._books = threading.Condition()
        self._held: Counter[Cid] = Counter()
        self._writing: dict[Cid, StoreHold | None] = {}
        self._brought: dict[Cid, StoreHold] = {}  # like `_writing`: by which hold, while nobody else cares for it
        self._spared: set[Cid] | None = None  # while a collection runs: what it must not take
        self._collecting = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """The contents of all blocks together, those that are just being written included."""
        return self._size_bytes

    @property
    def count(self) -> int:
        """How many blocks there are, those that are just being written included."""
        return self._count

    def has(self, cid: Cid) -> bool:
        """Whether a block of this CID is kept. Its bytes are not looked at."""
        return self._size_of(cid) is not None

    def size_of(self, cid: Cid) -> int:
        """A block's size in bytes, 0 if it is not kept."""
        return self._size_of(cid) or 0

    def get(self, cid: Cid) -> bytes | None:
        """The block, its hash checked, or None. A damaged one is moved aside and is then missing.

        Raises StorageFailed if the disk cannot be read.
        """
        block = self._read(cid)
        if block is None or cid.matches(block):
            return block
        with self._books:
            block = self._read(cid)  # another thread may have put a good one meanwhile
            if block is None or cid.matches(block):
                return block
            self._set_aside(cid, block)
        return None

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a block. One that is here already costs a read.

        Raises BlockMismatch, StorageFull (disk or quota) or StorageFailed; then nothing of it is kept.
        """
        self.put_many([(cid, block)])

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep several blocks, with as few flushes of the disk as can be: all of them, or none if they are refused.

        A crash may leave some of them: each is whole. A collection that runs meanwhile takes none of them; the next
        one takes what nothing needs, so whoever makes a block needed only after it is here uses `hold`.
        Raises what `put` raises.
        """
        with self.hold() as hold:
            hold.put_many(blocks)

    @contextmanager
    def hold(self) -> Iterator["StoreHold"]:
        """A hold: until it is left, no collection takes what is put and kept through it.

        Leaving it waits for what another thread is still writing through it; nothing more can be put or kept.
        """
        hold = StoreHold(self)
        try:
            yield hold
        finally:
            self._release(hold)

    def delete(self, cid: Cid) -> bool:
        """Remove a block; whether there was one. Pins and holds are the caller's to respect. Raises StorageFailed."""
        with self._books:
            self._wait_until_written([cid])
            return self._remove([cid])[0] == 1

    def cids(self) -> Iterator[Cid]:
        """Every CID that is kept, in no order; blocks that come or go meanwhile may or may not be among them."""
        return chain(self._files.cids(), self._small.cids())

    def collect(self, live: Callable[[], Collection[Cid]]) -> tuple[int, int]:
        """Remove every block that is neither in `live()` nor held, nor put or kept while this runs.

        Returns how many blocks and bytes went. One collection at a time: a second one waits.
        """
        with self.collecting() as remove_all_but:
            return remove_all_but(live())

    @contextmanager
    def collecting(self) -> Iterator[Callable[[Collection[Cid]], tuple[int, int]]]:
        """A collection under way: what is held now, and what is put or kept from now on, it does not take.

        Gives the function that removes everything else but the live blocks it is told. Which are live must be found
        out only now: what was pinned before is then known, and what is pinned later is held until it is.
        """
        with self._collecting:
            with self._books:
                self._spared = set(self._held)
            try:
                yield self._remove_all_but
            finally:
                with self._books:
                    self._spared = None

    def close(self) -> None:
        """Close the files. Blocks are refused afterwards; opening another store on the folder needs no `close`."""
        self._files.close()
        self._small.close()

    # Holds

    def _hold(self, hold: "StoreHold", cids: Iterable[Cid]) -> None:
        """From here on no collection takes these. What another hold brought in is no longer only that one's."""
        if hold.left:
            raise RuntimeError("the hold was left")  # else nobody would ever let go of what it holds from now on
        for cid in set(cids) - hold.held:
            hold.held.add(cid)
            self._held[cid] += 1
            if self._spared is not None:
                self._spared.add(cid)
            self._brought.pop(cid, None)
            if cid in self._writing:
                self._writing[cid] = None

    def _release(self, hold: "StoreHold") -> None:
        with self._books:
            hold.left = True
            self._wait_until_written(hold.held)  # by a thread whose caller has gone, it may be
            self._let_go(hold)

    def _let_go(self, hold: "StoreHold") -> None:
        for cid in hold.held:
            self._held[cid] -= 1
            if self._held[cid] == 0:
                del self._held[cid]
            if self._brought.get(cid) is hold:
                del self._brought[cid]
        hold.held.clear()

    def _keep(self, hold: "StoreHold", cids: Iterable[Cid]) -> None:
        cids = set(cids)
        with self._books:
            self._hold(hold, cids)
            self._wait_until_written(cids)

    def _put(self, hold: "StoreHold", blocks: Iterable[tuple[Cid, bytes]]) -> None:
        wanted = dict(blocks)
        for cid, block in wanted.items():
            if not cid.matches(block):
                raise BlockMismatch(f"the bytes are not those of {cid}")
        with self._books:
            self._hold(hold, wanted)
            self._wait_until_written(wanted)
            missing = self._missing(wanted)
            if not missing:
                return
            added = sum(map(len, missing.values()))
            if self._size_bytes + added > self.quota_bytes:
                raise StorageFull(
                    f"the block store holds {self._size_bytes} of {self.quota_bytes} bytes; {added} more do not fit"
                )
            self._book(len(missing), added)
            self._writing.update(dict.fromkeys(missing, hold))
        try:
            self._write(missing)
        except BaseException:
            with self._books:
                self._book(-len(missing), -added)
                self._finish(missing)
            raise
        with self._books:
            self._brought.update({cid: hold for cid in missing if self._writing[cid] is hold})
            self._finish(missing)

    def _finish(self, written: Iterable[Cid]) -> None:
        for cid in written:
            del self._writing[cid]
        self._books.notify_all()

    def _wait_until_written(self, cids: Iterable[Cid]) -> None:
        """Wait while somebody writes one of these. Whoever waits is writing nothing, so nobody waits for ever."""
        self._books.wait_for(lambda: self._writing.keys().isdisjoint(cids))

    def _roll_back(self, hold: "StoreHold") -> None:
        with self._books:
            self._wait_until_written(hold.held)
            own = [cid for cid in hold.held if self._brought.get(cid) is hold]
            self._let_go(hold)
            self._remove(own)

    # Removing

    def _remove_all_but(self, live: Collection[Cid]) -> tuple[int, int]:
        count = size_bytes = 0
        doomed = (cid for cid in self.cids() if cid not in live)
        while some := list(islice(doomed, _REMOVED_AT_ONCE)):
            with self._books:
                spared = self._spared
                assert spared is not None, "a collection ends only when its context is left"
                removed = self._remove([cid for cid in some if cid not in spared])
            count += removed[0]
            size_bytes += removed[1]
        return count, size_bytes

    def _remove(self, cids: Collection[Cid]) -> tuple[int, int]:
        """Remove blocks that nobody is writing; how many there were, and their bytes. Holds the lock.

        Files first: on a full disk rows can only be removed when there is a little room.
        """
        sizes: list[int] = []
        for cid in cids:
            size_bytes = self._files.remove(cid)
            if size_bytes is not None:
                self._book(-1, -size_bytes)
                sizes.append(size_bytes)
        rows = self._small.remove(cids).values() if cids else ()
        self._book(-len(rows), -sum(rows))
        return len(sizes) + len(rows), sum(sizes) + sum(rows)

    def _set_aside(self, cid: Cid, block: bytes) -> None:
        """Move a damaged block to where its owner may look at it. Holds the lock."""
        logger.warning("block %s is damaged; moved to %s", cid, self._damaged)
        if self._small.size_of(cid) is None:
            self._files.set_aside(cid)
        else:
            atomic_write(self._damaged / str(cid), block)
            self._small.remove([cid])
        self._book(-1, -len(block))

    # Reading and writing

    def _missing(self, wanted: Mapping[Cid, bytes]) -> dict[Cid, bytes]:
        """Those of `wanted` that are not kept; a damaged one is moved aside first. Holds the lock."""
        missing: dict[Cid, bytes] = {}
        small = self._small.read_many(wanted)
        for cid, block in wanted.items():
            kept = small[cid] if cid in small else self._files.read(cid)
            if kept == block:
                continue
            if kept is not None:
                self._set_aside(cid, kept)
            missing[cid] = block
        return missing

    def _write(self, blocks: Mapping[Cid, bytes]) -> None:
        """Files first: they can be taken back when the rows are refused."""
        small = {cid: block for cid, block in blocks.items() if len(block) <= self._small_bytes}
        large = {cid: block for cid, block in blocks.items() if cid not in small}
        if large:
            self._files.write(large)
        if small:
            try:
                self._small.write(small)
            except BaseException:
                for cid in large:
                    self._files.remove(cid)
                raise

    def _read(self, cid: Cid) -> bytes | None:
        block = self._small.read(cid)
        return self._files.read(cid) if block is None else block

    def _size_of(self, cid: Cid) -> int | None:
        try:
            size_bytes = self._small.size_of(cid)
            return self._files.size_of(cid) if size_bytes is None else size_bytes
        except OSError as error:
            raise as_storage_error(error, self._damaged.parent) from error

    def _book(self, count: int, size_bytes: int) -> None:
        self._count += count
        self._size_bytes += size_bytes


class StoreHold:
    """Blocks of one transfer under way. Made by `BlockStore.hold`; thread-safe as the store is."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self.held: Final[set[Cid]] = set()
        self.left = False

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep blocks, as the store's `put_many` does, and hold them."""
        self._store._put(self, blocks)

    def keep(self, cids: Iterable[Cid]) -> None:
        """Hold blocks that are here already. Ask `has` afterwards: a collection may have been quicker."""
        self._store._keep(self, cids)

    def roll_back(self) -> None:
        """Remove what this hold brought in and nobody else has put or kept since; hold nothing any more."""
        self._store._roll_back(self)
