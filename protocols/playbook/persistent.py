"""A persistent map with a digest: setting an entry gives a new map, and leaves the old one as it was.

A trie over the hashes of the keys. A new map shares all nodes with the old but those on the way to the entry, and each
node keeps its digest once somebody has asked for it: so a change, and the digest after it, cost a few nodes however
much the map holds. The place of a key follows from the key alone, on every machine, and nobody can pick keys that lie
in one place: where they come from outside, that matters as much as the speed.

The digest is that of the entries that count, and of nothing else: neither the order in which they were set nor the
entries that do not count change it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_WIDTH: Final = 16
_NOTHING: Final = bytes(32)


class _Leaf(Generic[K, V]):
    __slots__ = ("digest", "key", "place", "value")

    def __init__(self, place: bytes, key: K, value: V) -> None:
        self.place = place
        self.key = key
        self.value = value
        self.digest: bytes | None = None


class _Branch(Generic[K, V]):
    """`counting` is 0 or 1 where so many entries below count, and 2 where more do; known with `digest`."""

    __slots__ = ("children", "counting", "digest")

    def __init__(self, children: "list[_Node[K, V] | None]") -> None:
        self.children = children
        self.digest: bytes | None = None
        self.counting = 0


_Node = _Leaf[K, V] | _Branch[K, V]


class PersistentMap(Mapping[K, V], Generic[K, V]):
    """An immutable map. Its order of iteration is the same for the same keys, and means nothing.

    `place` gives at least 20 bytes that are spread evenly, others for each key. `counted` gives the bytes that stand
    for an entry in the digest, or None if it does not count.
    """

    __slots__ = ("_counted", "_place", "_root", "_size")

    def __init__(self, place: Callable[[K], bytes], counted: Callable[[K, V], bytes | None]) -> None:
        self._place = place
        self._counted = counted
        self._root: _Node[K, V] | None = None
        self._size = 0

    def set(self, key: K, value: V) -> "PersistentMap[K, V]":
        """This map with `key` set to `value`."""
        new: PersistentMap[K, V] = PersistentMap(self._place, self._counted)
        leaf = _Leaf(self._place(key), key, value)
        new._root, replaced = _with(self._root, leaf, 0)
        new._size = self._size + (not replaced)
        return new

    @property
    def digest(self) -> bytes:
        """32 bytes that are the same for the same counting entries only."""
        return _digest(self._root, self._counted)[0]

    def _found(self, key: K) -> _Leaf[K, V] | None:
        node = self._root
        if node is None:
            return None
        place = self._place(key)
        depth = 0
        while isinstance(node, _Branch):
            node = node.children[_turn(place, depth)]
            depth += 1
        return node if node is not None and node.key == key else None

    def __getitem__(self, key: K) -> V:
        leaf = self._found(key)
        if leaf is None:
            raise KeyError(key)
        return leaf.value

    def __contains__(self, key: object) -> bool:
        return self._found(key) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[K]:
        return (leaf.key for leaf in self._leaves())

    def entries(self) -> Iterator[tuple[K, V]]:
        """Keys with their values, without looking each one up."""
        return ((leaf.key, leaf.value) for leaf in self._leaves())

    def __len__(self) -> int:
        return self._size

    def _leaves(self) -> Iterator[_Leaf[K, V]]:
        to_visit = [self._root]
        while to_visit:
            node = to_visit.pop()
            if isinstance(node, _Branch):
                to_visit.extend(node.children)
            elif node is not None:
                yield node


def by_text(key: str) -> bytes:
    """The place of a key that is text."""
    return hashlib.sha256(key.encode()).digest()


def _turn(place: bytes, depth: int) -> int:
    byte = place[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def _with(node: _Node[K, V] | None, leaf: _Leaf[K, V], depth: int) -> tuple[_Node[K, V], bool]:
    """The node with the leaf in it, and whether it took the place of one."""
    if node is None:
        return leaf, False
    if isinstance(node, _Branch):
        children = node.children.copy()
    elif node.key == leaf.key:
        return leaf, True
    else:
        children = [None] * _WIDTH
        children[_turn(node.place, depth)] = node
    turn = _turn(leaf.place, depth)
    children[turn], replaced = _with(children[turn], leaf, depth + 1)
    return _Branch(children), replaced


def _digest(node: _Node[K, V] | None, counted: Callable[[K, V], bytes | None]) -> tuple[bytes, int]:
    """The digest of what is below, and how many entries there count, two standing for more.

    One entry alone has the same digest at every depth, since what does not count may have pushed it down.
    """
    if node is None:
        return _NOTHING, 0
    if isinstance(node, _Leaf):
        if node.digest is None:
            told = counted(node.key, node.value)
            node.digest = _NOTHING if told is None else hashlib.sha256(b"\0" + node.place + told).digest()
        return node.digest, int(node.digest != _NOTHING)
    if node.digest is None:
        below = [_digest(child, counted) for child in node.children]
        node.counting = min(2, sum(counting for _, counting in below))
        if node.counting == 2:
            node.digest = hashlib.sha256(b"\1" + b"".join(digest for digest, _ in below)).digest()
        else:
            node.digest = max(digest for digest, _ in below)
    return node.digest, node.counting
