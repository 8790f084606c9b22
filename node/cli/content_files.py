"""Where `pagi ipfs get` writes to: beside the target until everything is there, so that a part is never taken for the
whole, and the next `get` of the same content goes on with it.

    .NAME.CID.part/tree        what is whole already
    .NAME.CID.part/<cid>       a file that is being written

Names and links are those of strangers: nothing is written outside of the target.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final

from node.cli.errors import BadInput, FileUnreadable
from node.content.paths import check_link, check_name
from protocols.limits import MAX_PATH_PARTS, MAX_TREE_ENTRIES

_CID_CHARS: Final = 12
"""Of the CID, in the name of what is not whole yet: another version of the same name does not go on with it."""

Names = tuple[str, ...]


@dataclass(slots=True)
class Target:
    """A file or a folder that is being written: every entry by `expect`, then what they are; folders before what is in
    them. Raises FileUnreadable where the disk refuses.
    """

    path: Path
    force: bool
    _part: Path
    _entries: int = 0
    _links: dict[Names, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, cid: str, *, force: bool) -> "Target":
        """Raises BadInput if there is something at `path` that may not be written over."""
        if os.path.lexists(path) and not force:
            raise BadInput(f"{path} is there already; --force writes over it, --output names another place")
        part = path.with_name(f".{path.name}.{cid[-_CID_CHARS:]}.part")
        with _disk(part):
            part.mkdir(parents=True, exist_ok=True)
        return cls(path, force, part)

    def expect(self, names: Names) -> None:
        """Say of each entry that it will come, before what is below it is looked for: a folder of a stranger may name
        itself so often that no disk could take it. Raises TreeRefused for a name that no folder may hold, and BadInput.
        """
        for name in names:
            check_name(name)
        self._entries += 1
        if len(names) > MAX_PATH_PARTS or self._entries > MAX_TREE_ENTRIES:
            raise BadInput(f"the folder is deeper than {MAX_PATH_PARTS}, or has over {MAX_TREE_ENTRIES} entries")

    def add_folder(self, names: Names) -> None:
        """A folder, which may stay empty."""
        with _disk(self.path):
            self._at(names).mkdir(exist_ok=True)

    def add_link(self, names: Names, target: str) -> None:
        """A symbolic link. It is made when all files are written: none is written through it. Raises TreeRefused."""
        check_link(names, target)
        self._links[names] = target

    def begin_file(self, names: Names, cid: str, size_bytes: int) -> int:
        """How many bytes of a file are here already."""
        with _disk(self.path):
            if self._at(names).is_file():
                return size_bytes
            under_way = self._part / cid
            here = under_way.stat().st_size if under_way.exists() else 0
            if here > size_bytes:
                under_way.unlink()
                here = 0
        return here

    def write(self, cid: str, piece: bytes) -> None:
        """The next bytes of the file that was begun."""
        with _disk(self.path), (self._part / cid).open("ab", buffering=0) as file:
            _write(file, piece)

    def end_file(self, names: Names, cid: str) -> None:
        """The file is whole."""
        with _disk(self.path):
            under_way, place = self._part / cid, self._at(names)
            if not place.exists():
                under_way.touch()  # an empty file has no bytes that would have made it
                under_way.replace(place)

    def finish(self) -> None:
        """Everything is there: make the links, and put it into its place."""
        with _disk(self.path):
            for names, target in self._links.items():
                place = self._at(names)
                if not place.is_symlink():
                    place.symlink_to(target)
            tree = self._at(())
            if not self.force and os.path.lexists(self.path):
                raise BadInput(f"{self.path} has come to be meanwhile; --force writes over it")
            if tree.is_dir() and self.path.is_dir() and not self.path.is_symlink():
                _merge(tree, self.path)
            else:
                if self.path.is_dir() and not self.path.is_symlink():
                    raise BadInput(f"{self.path} is a folder, and what you get is a file: name it with --output")
                if os.path.lexists(self.path) and tree.is_dir():
                    self.path.unlink()
                tree.replace(self.path)
            shutil.rmtree(self._part)

    def _at(self, names: Names) -> Path:
        return self._part.joinpath("tree", *names)


def written(path: Path, pieces: Iterator[bytes]) -> int:
    """Write pieces to a file, which is replaced when they are all there; their bytes."""
    part = path.with_name(f".{path.name}.part")
    size_bytes = 0
    try:
        with _disk(path):
            file = part.open("wb", buffering=0)
        with file:
            for piece in pieces:
                with _disk(path):
                    _write(file, piece)
                size_bytes += len(piece)
        with _disk(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return size_bytes


def _write(file: FileIO, piece: bytes) -> None:
    """All of it: a bare file may take a part only."""
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def _merge(tree: Path, into: Path) -> None:
    """Put all that is in `tree` over what is in `into`. Other files stay."""
    for entry in sorted(tree.iterdir()):
        place = into / entry.name
        is_folder = entry.is_dir() and not entry.is_symlink()
        there_is_folder = place.is_dir() and not place.is_symlink()
        if is_folder and there_is_folder:
            _merge(entry, place)
            continue
        if is_folder and os.path.lexists(place):
            place.unlink()
        if there_is_folder and not is_folder:
            raise BadInput(f"{place} is a folder here and a file there: move it away first")
        entry.replace(place)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What the file system refuses, in words."""
    try:
        yield
    except OSError as error:
        raise FileUnreadable(f"cannot write {path}: {error.strerror or error}") from error
