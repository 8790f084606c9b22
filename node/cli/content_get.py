"""Commands that bring content out: ipfs cat, ipfs get, ipfs export."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from node.cli.client import Client
from node.cli.command import Call, Commands, bounded
from node.cli.content_files import Target, written
from node.cli.errors import BadInput, ContentMissing
from node.cli.output import remark, say
from node.cli.progress import amount, bytes_progress

_MAX_OFFSET: Final = 2**60
_PAGE: Final = 500
_Entry = tuple[tuple[str, ...], dict[str, Any]]


def register(group: Commands) -> None:
    """Add the commands to the group `ipfs`."""
    cat_parser = group.add("cat", "print a file, or a range of it", cat)
    cat_parser.add_argument("path", metavar="CID[/PATH]")
    cat_parser.add_argument("--offset", type=bounded(0, _MAX_OFFSET), default=0, metavar="N", help="begin at this byte")
    cat_parser.add_argument("--length", type=bounded(1, _MAX_OFFSET), metavar="N", help="at most so many bytes")
    cat_parser.add_argument("--output", "-o", metavar="FILE", help="write it there; --json needs this")
    get_parser = group.add("get", "write a file or a folder to disk; goes on where it was cut off", get)
    get_parser.add_argument("path", metavar="CID[/PATH]")
    get_parser.add_argument("--output", "-o", metavar="PATH", help="where to; without it by its name, or its CID")
    get_parser.add_argument("--force", action="store_true", help="write over what is there")
    export_parser = group.add("export", "write content with all that it names into a CAR file", export)
    export_parser.add_argument("cid", metavar="CID")
    export_parser.add_argument("file", metavar="FILE", help="'-' writes to stdout")


def cid_and_path(text: str) -> tuple[str, str | None]:
    """`CID/folder/file` as what the API takes: the CID, and the path below it if there is one."""
    cid, _, path = text.removeprefix("ipfs://").removeprefix("/ipfs/").partition("/")
    return cid, path or None


def cat(call: Call) -> None:
    args = call.args
    if call.json and args.output is None:
        raise BadInput("with --json the content needs a place of its own: give --output FILE")
    cid, path = cid_and_path(args.path)
    headers = {}
    if args.offset or args.length is not None:
        headers["Range"] = f"bytes={args.offset}-" + (str(args.offset + args.length - 1) if args.length else "")
    with call.client().download("ipfs", "cat", cid, query={"path": path}, headers=headers) as pieces:
        if args.output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        size_bytes = written(Path(args.output).expanduser(), pieces)
    call.show(
        {"cid": cid, "size_bytes": size_bytes, "file": args.output}, lambda: say(f"{args.output}  {amount(size_bytes)}")
    )


def export(call: Call) -> None:
    cid, file = call.args.cid, call.args.file
    if call.json and file == "-":
        raise BadInput("with --json the CAR file needs a place of its own: name a FILE")
    show = bytes_progress("exporting", quiet_s=1.0)
    with call.client().download("ipfs", "car", cid) as pieces:
        if file == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        size_bytes = written(Path(file).expanduser(), _counted(pieces, show))
    call.show({"cid": cid, "size_bytes": size_bytes, "file": file}, lambda: say(f"{file}  {amount(size_bytes)}"))


def _counted(pieces: Iterator[bytes], show: Any) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        show(done, None)


def get(call: Call) -> None:
    client = call.client()
    cid, path = cid_and_path(call.args.path)
    found = client.get("ipfs", "stat", cid, query={"path": path})
    if found["kind"] == "symlink":
        raise BadInput(f"{call.args.path} is a symbolic link to {found['target']!r}: get what it leads to")
    name = call.args.output or (path or cid).rstrip("/").rpartition("/")[2]
    target = Target.of(Path(name).expanduser(), found["cid"], force=call.args.force)
    entries = list(_tree(client, found["cid"], (), target)) if found["kind"] == "folder" else [((), found)]
    total = sum(entry["size_bytes"] for _, entry in entries if entry["kind"] in ("file", "data"))
    try:
        _get_all(client, target, entries, total)
    except KeyboardInterrupt:
        remark("Cut off. The same command goes on from here.")
        raise
    target.finish()
    result = {"cid": found["cid"], "size_bytes": total, "files": len(entries), "path": str(target.path)}
    call.show(result, lambda: say(f"{target.path}  {amount(total)}"))


def _get_all(client: Client, target: Target, entries: Sequence[_Entry], total: int) -> None:
    done, show = 0, bytes_progress("getting", quiet_s=1.0)
    for names, entry in entries:
        if entry["kind"] == "folder":
            target.add_folder(names)
        elif entry["kind"] == "symlink":
            target.add_link(names, entry["target"])
        else:
            for size in _get_file(client, target, names, entry):
                done += size
                show(done, total)


def _get_file(client: Client, target: Target, names: tuple[str, ...], entry: Mapping[str, Any]) -> Iterator[int]:
    """Write what is missing of a file; tells how many bytes came, those first that were here already."""
    cid, size_bytes = entry["cid"], entry["size_bytes"]
    here = target.begin_file(names, cid, size_bytes)
    yield here
    if here < size_bytes:
        with client.download("ipfs", "cat", cid, headers={"Range": f"bytes={here}-"} if here else {}) as pieces:
            for piece in pieces:
                target.write(cid, piece)
                yield len(piece)
    target.end_file(names, cid)


def _tree(client: Client, cid: str, names: tuple[str, ...], target: Target) -> Iterator[_Entry]:
    """All that is in a folder, folders before what is in them. Raises ContentMissing, and what `expect` raises."""
    target.expect(names)
    yield names, {"kind": "folder", "cid": cid}
    after: str | None = None
    while True:
        page = client.get("ipfs", "ls", cid, query={"limit": _PAGE, "after": after})
        for entry in page["items"]:
            below = (*names, entry["name"])
            if entry["kind"] is None:
                raise ContentMissing(f"nobody who can be reached has {'/'.join(below)} ({entry['cid']})")
            if entry["kind"] == "folder":
                yield from _tree(client, entry["cid"], below, target)
            else:
                target.expect(below)
                yield below, entry
        after = page["next"]
        if after is None:
            return
