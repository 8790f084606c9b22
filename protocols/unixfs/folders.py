"""Ways through folders, in one block or in shards: along a path, and over all entries of one folder.

The caller brings the blocks, checked against their CIDs. A shard is held to the hash of each name in it: so no name can
stand in a folder twice, none can hide from whoever looks it up, and no shard can stand in two places.
"""

from collections.abc import Sequence

from identity.cid import Cid
from protocols.errors import MalformedMessage
from protocols.ipld.errors import NoSuchEntry
from protocols.unixfs.directory import hash_digit
from protocols.unixfs.murmur3 import murmur3_x64_64
from protocols.unixfs.nodes import DirectoryNode, ShardNode, node_of


class PathWalk:
    """Follows names from a root: as long as `wanted` is not None, `give` that block. Then `cid` is what the path names.

    Symbolic links are not followed. What `cid` names is not looked at, and may be missing.
    """

    def __init__(self, root: Cid, names: Sequence[str]) -> None:
        self._cid = root
        self._names = list(reversed(names))
        self._used_bits: int | None = None

    @property
    def wanted(self) -> Cid | None:
        """The block that is needed now: a folder on the way, or a shard of it."""
        return self._cid if self._names else None

    @property
    def cid(self) -> Cid:
        """Where the path leads, as far as it was followed."""
        return self._cid

    def give(self, block: bytes) -> None:
        """Bring the block that is wanted. Raises NoSuchEntry, UnknownCodec or MalformedMessage."""
        node, name = node_of(self._cid, block), self._names[-1]
        if isinstance(node, ShardNode):
            self._look_up(node, name)
            return
        if self._used_bits is not None:
            raise MalformedMessage(f"{self._cid} is not the shard that its parent says it is")
        if not isinstance(node, DirectoryNode):
            raise NoSuchEntry(f"{name!r} is looked for in {self._cid}, which is not a folder")
        for entry in node.entries:
            if entry.name == name:
                self._arrive(entry.cid)
                return
        raise NoSuchEntry(f"the folder {self._cid} has no entry {name!r}")

    def _look_up(self, shard: ShardNode, name: str) -> None:
        used, bits = self._used_bits or 0, _bits_of(shard)
        position = hash_digit(murmur3_x64_64(name.encode()), used, bits)
        for slot in shard.slots:
            if slot.position == position and slot.name == name:
                self._arrive(slot.cid)
                return
            if slot.position == position and slot.name is None:
                self._cid, self._used_bits = slot.cid, used + bits
                return
        raise NoSuchEntry(f"the folder has no entry {name!r}, says its shard {self._cid}")

    def _arrive(self, cid: Cid) -> None:
        self._names.pop()
        self._cid, self._used_bits = cid, None


class Listing:
    """All entries of a folder: as long as `wanted` names blocks, `give` them, in any order."""

    def __init__(self, root: Cid) -> None:
        self._places: dict[Cid, tuple[int, int] | None] = {root: None}
        self._seen: set[Cid] = {root}

    def wanted(self, most: int) -> tuple[Cid, ...]:
        """Blocks of the folder that have not been given, at most so many."""
        return tuple(cid for cid, _ in zip(self._places, range(most), strict=False))

    def give(self, cid: Cid, block: bytes) -> list[tuple[str, Cid, int]]:
        """Bring a block that is wanted; return its entries as (name, CID, bytes under it as the folder says).

        Raises MalformedMessage if it is no folder, or not the shard that belongs there; UnknownCodec.
        """
        node, place = node_of(cid, block), self._places.pop(cid)
        if isinstance(node, DirectoryNode) and place is None:
            return [(entry.name, entry.cid, entry.total_bytes) for entry in node.entries]
        if not isinstance(node, ShardNode):
            raise MalformedMessage(f"{cid} is not a folder, or not the shard that its parent says it is")
        used, prefix = place or (0, 0)
        bits = _bits_of(node)
        entries: list[tuple[str, Cid, int]] = []
        for slot in node.slots:
            here = prefix << bits | slot.position
            if slot.name is None:
                self._expect(slot.cid, used + bits, here)
            elif hash_digit(murmur3_x64_64(slot.name.encode()), 0, used + bits) != here:
                raise MalformedMessage(f"the shard {cid} has a name that does not belong there")
            else:
                entries.append((slot.name, slot.cid, slot.total_bytes))
        return entries

    def _expect(self, cid: Cid, used_bits: int, prefix: int) -> None:
        if cid in self._seen:
            raise MalformedMessage(f"the shard {cid} stands in its folder twice")
        if hash_digit(0, used_bits, 1) is None:
            raise MalformedMessage(f"the shard {cid} is deeper than the hash of a name is long")
        self._seen.add(cid)
        self._places[cid] = (used_bits, prefix)


def _bits_of(shard: ShardNode) -> int:
    """Bits of a name's hash that choose its slot."""
    return shard.fanout.bit_length() - 1
