"""Commands that bring content in: ipfs add, ipfs import. Files and folders are sent as they are read."""

import os
import stat
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from node.cli.client import PIECE_BYTES
from node.cli.command import Call, Commands
from node.cli.errors import BadInput, FileUnreadable
from node.cli.output import remark, say
from node.cli.progress import amount, bytes_progress
from protocols.limits import MAX_PIN_NAME_CHARS

_CHUNKERS: Final = "size-262144 (the default), size-1048576 or another size in bytes"

Told = Callable[[int], None]
"""Is told how many bytes of content have been read so far."""


def register(group: Commands) -> None:
    """Add the commands to the group `ipfs`."""
    add_parser = group.add("add", "store a file or a folder, pin it, and get its CID", add)
    add_parser.add_argument("file", metavar="FILE|DIR", help="'-' reads stdin")
    add_parser.add_argument("--chunker", metavar="size-N", help=f"bytes in a block: {_CHUNKERS}")
    add_parser.add_argument("--name", metavar="NAME", help="what the pin is called (as the file is)")
    add_parser.add_argument("--no-pin", action="store_true", help="the next collection may take it")
    add_parser.add_argument("--wrap", action="store_true", help="put it into a folder under its own name")
    add_parser.add_argument("--hidden", action="store_true", help="take the hidden files of a folder too")
    import_parser = group.add("import", "keep what a CAR file has, and pin its roots", import_car)
    import_parser.add_argument("file", metavar="FILE", help="'-' reads stdin")
    import_parser.add_argument("--name", metavar="NAME", help="what the pins are called")
    import_parser.add_argument("--no-pin", action="store_true", help="the next collection may take it")


def add(call: Call) -> None:
    args = call.args
    path = Path(args.file).expanduser()
    own_name = args.name if args.file == "-" else path.absolute().name
    if args.wrap and not own_name:
        raise BadInput("with --wrap and '-' the file needs a name: give --name")
    query = {
        "chunker": args.chunker,
        "name": args.name or (None if args.no_pin else _as_name(own_name)),
        "wrap": own_name if args.wrap else None,
        "pin": "false" if args.no_pin else None,
    }
    if args.file != "-" and path.is_dir():
        tree = Tree.of(path, hidden=args.hidden)
        show = bytes_progress("adding", quiet_s=1.0)
        body = tree.as_tar(lambda done: show(done, tree.size_bytes))
        added = call.client().upload(
            "ipfs", "add", body=body, size_bytes=None, content_type="application/x-tar", query=query
        )
        if tree.left_out:
            remark(f"{tree.left_out} hidden files and folders were left out; --hidden takes them.")
    else:
        added = _upload(call, "add", args.file, content_type="application/octet-stream", query=query)
    call.show(added, lambda: say(f"{added['cid']}  {amount(added['size_bytes'])}"))


def _as_name(file_name: str | None) -> str | None:
    """The name of a file as that of its pin, if it is text and short enough to be one."""
    if file_name and file_name.isprintable() and len(file_name) <= MAX_PIN_NAME_CHARS:
        return file_name
    return None


def import_car(call: Call) -> None:
    query = {"name": call.args.name, "pin": "false" if call.args.no_pin else None}
    imported = _upload(call, "car", call.args.file, content_type="application/vnd.ipld.car", query=query)

    def human() -> None:
        for root in imported["roots"]:
            say(root)

    call.show(imported, human)


def _upload(call: Call, route: str, name: str, *, content_type: str, query: dict[str, str | None]) -> dict[str, Any]:
    """Send a file, or standard input, as it is read."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).expanduser().open("rb") as file:
            found = os.fstat(file.fileno()) if name != "-" else None
            size_bytes = found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None
            show = bytes_progress("adding" if route == "add" else "importing", quiet_s=1.0)
            body = _told(_read(file, name), lambda done: show(done, size_bytes))
            return call.client().upload(
                "ipfs", route, body=body, size_bytes=size_bytes, content_type=content_type, query=query
            )
    except OSError as error:
        raise FileUnreadable(f"cannot read {name}: {error.strerror or error}") from error


def _read(file: BinaryIO, name: str) -> Iterator[bytes]:
    while True:
        try:
            piece = file.read(PIECE_BYTES)
        except OSError as error:
            raise FileUnreadable(f"cannot read {name}: {error.strerror or error}") from error
        if not piece:
            return
        yield piece


def _told(pieces: Iterator[bytes], told: Told) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        told(done)


@dataclass(frozen=True, slots=True)
class Tree:
    """What is below a folder, in order: paths from its top, and how long each file is."""

    top: Path
    paths: tuple[str, ...]
    size_bytes: int
    left_out: int

    @classmethod
    def of(cls, top: Path, *, hidden: bool) -> "Tree":
        """Look through a folder. Symbolic links are not followed. Raises FileUnreadable, and BadInput for devices."""
        paths: list[str] = []
        size_bytes = left_out = 0
        to_visit = [""]
        while to_visit:
            folder = to_visit.pop()
            try:
                with os.scandir(top / folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
                for entry in found:
                    if entry.name.startswith(".") and not hidden:
                        left_out += 1
                        continue
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    paths.append(path)
                    if entry.is_dir(follow_symlinks=False):
                        to_visit.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        size_bytes += entry.stat(follow_symlinks=False).st_size
                    elif not entry.is_symlink():
                        raise BadInput(f"{top / path} is a device, a pipe or a socket: it cannot be added")
            except OSError as error:
                raise FileUnreadable(f"cannot read {top / folder}: {error.strerror or error}") from error
        return cls(top, tuple(paths), size_bytes, left_out)

    def as_tar(self, told: Told) -> Iterator[bytes]:
        """The folder as a tar stream (pax). Raises FileUnreadable if a file changes meanwhile."""
        done = 0
        for path in self.paths:
            info = self._header(path)
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if info.isreg():
                for piece in self._content(path, info.size):
                    yield piece
                    done += len(piece)
                    told(done)
                yield bytes(-info.size % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _header(self, path: str) -> tarfile.TarInfo:
        """Its kind, name and length alone: owner, mode and time are nobody's business, and are not kept."""
        info = tarfile.TarInfo(path)
        try:
            found = (self.top / path).lstat()
            if stat.S_ISDIR(found.st_mode):
                info.type = tarfile.DIRTYPE
            elif stat.S_ISLNK(found.st_mode):
                target = os.readlink(self.top / path)  # noqa: PTH115 - a Path would change how it is written, and the CID
                info.type, info.linkname = tarfile.SYMTYPE, target
            else:
                info.size = found.st_size
        except OSError as error:
            raise FileUnreadable(f"cannot read {self.top / path}: {error.strerror or error}") from error
        return info

    def _content(self, path: str, size_bytes: int) -> Iterator[bytes]:
        left = size_bytes
        try:
            with (self.top / path).open("rb") as file:
                while left and (piece := file.read(min(left, PIECE_BYTES))):
                    yield piece
                    left -= len(piece)
        except OSError as error:
            raise FileUnreadable(f"cannot read {self.top / path}: {error.strerror or error}") from error
        if left:
            raise FileUnreadable(f"{self.top / path} became shorter while it was read")
