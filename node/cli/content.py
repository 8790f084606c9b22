"""Commands of content: ipfs add, ipfs cat."""

import sys
from pathlib import Path

from node.cli.command import Call, Commands
from node.cli.errors import BadInput, FileUnreadable
from node.cli.inputs import read_bytes
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("ipfs", "content by its CID")
    add_parser = group.add("add", "store a file, and get its CID", add)
    add_parser.add_argument("file", metavar="FILE", help="'-' reads stdin")
    cat_parser = group.add("cat", "print the content of a CID", cat)
    cat_parser.add_argument("cid", metavar="CID")
    cat_parser.add_argument("--output", "-o", metavar="FILE", help="write it there; --json needs this")


def add(call: Call) -> None:
    added = call.client().post_bytes("ipfs", "add", data=read_bytes(call.args.file))
    call.show(added, lambda: say(f"{added['cid']}  {added['size_bytes']} bytes"))


def cat(call: Call) -> None:
    if call.json and call.args.output is None:
        raise BadInput("with --json the content needs a place of its own: give --output FILE")
    data = call.client().get_bytes("ipfs", "cat", call.args.cid)
    if call.args.output is None:
        sys.stdout.buffer.write(data)
        return
    try:
        Path(call.args.output).write_bytes(data)
    except OSError as error:
        raise FileUnreadable(f"cannot write {call.args.output}: {error.strerror or error}") from error
    call.show(
        {"cid": call.args.cid, "size_bytes": len(data), "file": call.args.output}, lambda: say(f"{len(data)} bytes")
    )
