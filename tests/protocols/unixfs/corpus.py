"""The corpus of vectors/kubo.json: contents that anybody can make again, and the CIDs that Kubo gave them.

`python -m tests.interop.make_unixfs_vectors PATH_OF_IPFS` writes that file anew; `tests/interop/test_unixfs_kubo.py`
asks a running Kubo again.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from identity.cid import Cid
from protocols.unixfs.directory import build_directory, build_symlink
from protocols.unixfs.layout import CHUNK_BYTES, Entry, FileBuilder

VECTORS: Final = Path(__file__).resolve().parent / "vectors" / "kubo.json"

Tree = Mapping[str, Any]
"""A folder: a number is a file of so many bytes, a text is a symbolic link to it, an object is a folder. The key `*` of
an object stands for many empty files: `[names as a format, how many]`."""


@dataclass(frozen=True, slots=True)
class FileVector:
    """One file: `size_bytes` bytes of SHAKE-128 over `seed`, or as many zeros if `seed` is None."""

    seed: str | None
    size_bytes: int
    chunk_bytes: int
    cid: str

    def __str__(self) -> str:
        return f"{self.seed or 'zeros'}-{self.size_bytes}-by-{self.chunk_bytes}"

    def content(self) -> bytes:
        if self.seed is None:
            return bytes(self.size_bytes)
        return hashlib.shake_128(self.seed.encode()).digest(self.size_bytes)


@dataclass(frozen=True, slots=True)
class FolderVector:
    """One folder, and what all its blocks take together."""

    name: str
    tree: Tree
    chunk_bytes: int
    cid: str
    total_bytes: int

    def __str__(self) -> str:
        return f"{self.name}-by-{self.chunk_bytes}"


def file_vectors() -> list[FileVector]:
    return [FileVector(**row) for row in json.loads(VECTORS.read_bytes())["files"]]


def folder_vectors() -> list[FolderVector]:
    return [FolderVector(**row) for row in json.loads(VECTORS.read_bytes())["folders"]]


def entries_of(tree: Tree) -> Iterator[tuple[str, int | str | Tree]]:
    """The names in a folder and what they stand for."""
    for name, what in tree.items():
        if name == "*":
            pattern, count = what
            yield from ((pattern.format(number), 0) for number in range(count))
        else:
            yield name, what


def content_of(name: str, size_bytes: int) -> bytes:
    """The bytes of a file in a folder: SHAKE-128 over its name."""
    return hashlib.shake_128(name.encode()).digest(size_bytes)


def write_tree(tree: Tree, folder: Path) -> None:
    """Make the folder on disk."""
    folder.mkdir()
    for name, what in entries_of(tree):
        match what:
            case int():
                (folder / name).write_bytes(content_of(name, what))
            case str():
                os.symlink(what, folder / name)  # noqa: PTH211 - Path would make 'a/' out of 'a//'
            case _:
                write_tree(what, folder / name)


def build_tree(tree: Tree, chunk_bytes: int = CHUNK_BYTES) -> tuple[Entry, dict[Cid, bytes]]:
    """The folder by our own code, and all its blocks."""
    blocks: dict[Cid, bytes] = {}
    entries: dict[str, Entry] = {}
    for name, what in entries_of(tree):
        match what:
            case int():
                builder = FileBuilder(chunk_bytes)
                blocks.update(builder.feed(content_of(name, what)))
                entries[name], made = builder.finish()
                blocks.update(made)
            case str():
                entries[name], made = build_symlink(what)
                blocks.update(made)
            case _:
                entries[name], below = build_tree(what, chunk_bytes)
                blocks.update(below)
    folder, made = build_directory(entries)
    return folder, blocks | dict(made)
