"""A file's bytes out of its blocks, whole or a range of them, in whatever order the blocks come in.

What a node says about the sizes of its parts leads to the right ones; each part is held to it when it is read. So a
range is what it claims to be, no part without a byte of the range is ever asked for, and each block that is asked for
brings the end nearer. A file may still be longer than any disk although it has few blocks: its reader bounds the range.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from protocols.errors import MalformedMessage, TooDeep
from protocols.limits import MAX_FILE_DEPTH
from protocols.unixfs.nodes import FileNode, node_of

_LOOKS: Final = 2
"""Places that are looked at for each block that may be wanted: nodes between the chunks take one too."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file of which the bytes from `start` up to `stop` are wanted, counted from its own first byte."""

    cid: Cid
    file_bytes: int
    start: int
    stop: int


def children_in_range(node: FileNode, start: int, stop: int) -> Iterator[Part]:
    """The children that hold bytes from `start` up to `stop` of a node, in their order. Empty ones hold none."""
    offset = len(node.data)
    for child in node.children:
        if offset >= stop:
            return
        end = offset + child.file_bytes
        if end > max(start, offset):
            yield Part(child.cid, child.file_bytes, max(start - offset, 0), min(stop - offset, child.file_bytes))
        offset = end


class FileReader:
    """Reads the bytes of a file from `start` up to `stop`, or to its end.

    The caller brings blocks that it has checked against their CIDs: it asks `wanted`, gives each of these with `give`,
    and takes what can be read with `take`, until `done`. A block that was used is forgotten, and may be wanted again.
    """

    def __init__(self, root: Cid, start: int = 0, stop: int | None = None) -> None:
        assert start >= 0
        assert stop is None or stop >= start
        self._root = root
        self._start = start
        self._stop = stop
        self._size_bytes: int | None = None
        self._given: dict[Cid, bytes] = {}
        self._ahead: list[_Step | memoryview] = [_Step(Part(root, -1, start, -1), 0)]

    @property
    def size_bytes(self) -> int | None:
        """The length of the whole file, as its root says; None before that has been looked at."""
        return self._size_bytes

    @property
    def done(self) -> bool:
        return not self._ahead

    def wanted(self, most: int) -> tuple[Cid, ...]:
        """The blocks that are needed next, at most so many, those of the first bytes first.

        Where `take` has something, it may be none. Raises MalformedMessage, TooDeep or UnknownCodec if what was given
        is no file, or not the part that its parent says.
        """
        found: dict[Cid, None] = {}
        position = len(self._ahead) - 1
        for _ in range(_LOOKS * most):  # a few blocks can make a file without end: it is not spread out here
            if position < 0 or len(found) == most:
                break
            step = self._ahead[position]
            if isinstance(step, _Step) and step.part.cid in self._given:
                position += self._expand(position, step) - 1
                continue
            if isinstance(step, _Step):
                found[step.part.cid] = None
            position -= 1
        return tuple(found)

    def give(self, cid: Cid, block: bytes) -> None:
        """Bring a block that was wanted."""
        self._given[cid] = block

    def take(self) -> memoryview | None:
        """The next bytes, never none; None if a block is wanted first, or the reader is done. Raises like `wanted`."""
        while self._ahead:
            step = self._ahead[-1]
            if isinstance(step, memoryview):
                self._ahead.pop()
                return step
            if step.part.cid not in self._given:
                return None
            self._expand(len(self._ahead) - 1, step)
        return None

    def _expand(self, position: int, step: "_Step") -> int:
        """Put what a block says into the place of the step that leads to it; return how many places that takes.

        The block is forgotten, unless what follows is the same again, as in a file of zeros.
        """
        following = self._ahead[position - 1] if position else None
        node = node_of(step.part.cid, self._given[step.part.cid])
        if not isinstance(following, _Step) or following.part.cid != step.part.cid:
            del self._given[step.part.cid]
        if not isinstance(node, FileNode):
            raise MalformedMessage(f"{step.part.cid} is not a file, or a part of one")
        if step.depth == 0 and self._size_bytes is None:
            self._size_bytes = node.size_bytes
            stop = node.size_bytes if self._stop is None else min(self._stop, node.size_bytes)
            step = _Step(Part(self._root, node.size_bytes, self._start, stop), 0)
        if node.size_bytes != step.part.file_bytes:
            raise MalformedMessage(
                f"{step.part.cid} has {node.size_bytes} bytes of the file, and its parent says {step.part.file_bytes}"
            )
        places = _places(node, step)
        self._ahead[position : position + 1] = reversed(places)
        return len(places)


@dataclass(frozen=True, slots=True)
class _Step:
    """What is still to be read, and how deep in the tree it stands."""

    part: Part
    depth: int


def _places(node: FileNode, step: _Step) -> Sequence[_Step | memoryview]:
    places: list[_Step | memoryview] = []
    own = memoryview(node.data)[step.part.start : step.part.stop]
    if own:
        places.append(own)
    below = [_Step(part, step.depth + 1) for part in children_in_range(node, step.part.start, step.part.stop)]
    if below and step.depth == MAX_FILE_DEPTH:
        raise TooDeep(f"the file's tree has more than {MAX_FILE_DEPTH} levels")
    return (*places, *below)
