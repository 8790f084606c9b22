"""Commands about who the twin is: identity show and identity rotate, backup and restore."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.cli.command import Call, Commands
from node.cli.output import remark, say

if TYPE_CHECKING:
    from storage.successions import SuccessionRow

_TWO_COPIES = (
    "This home and the one that the backup was made of have the same key: never let both of them run.\n"
    "If the other one may still run, stop it first. A twin that hears another one speak in its name says so in its\n"
    "log, in `pagi doctor` and in /ready, but that can take some minutes."
)


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("identity", "who this twin is, was, and follows", usual="show")
    group.add("show", "the twin's DID, those it had before, and whom it followed", show)
    parser = group.add("rotate", "give the stopped twin a new key, which the old one names as its successor", rotate)
    parser.add_argument("--passphrase-file", metavar="F", help="its first line opens the key, and seals the new one")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser = commands.add("backup", "write the twin's home to one encrypted file; it may be running", backup)
    parser.add_argument("file", metavar="FILE", help="a new file, or an older backup, which is replaced")
    parser.add_argument("--passphrase-file", metavar="F", help="its first line seals the backup")
    parser.add_argument("--with-models", action="store_true", help="models too; they can be fetched again")
    parser = commands.add("restore", "make a home out of a backup, at --home DIR, which must not exist", restore)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--passphrase-file", metavar="F", help="its first line opens the backup")


def show(call: Call) -> None:
    from identity import keystore
    from storage.home import Home

    home = Home(call.home)
    did, retired = keystore.names_in(home.identity_json)
    followed, instance = _on_disk(home.node_db)
    named = {"did": did, "formerly": list(retired), "instance": instance}
    rows = [
        {"old": row.old, "new": row.new, "conflict": row.conflict} for row in followed if row.old not in {did, *retired}
    ]

    def human() -> None:
        say(f"DID       {did}")
        for old in reversed(retired):
            say(f"formerly  {old}")
        for row in rows:
            say(f"followed  {row['old']}")
            say(f"       to {row['new']}")
            if row["conflict"]:
                say(f"  REFUSED {row['conflict']}: two successors were named. Ask the owner by another way.")

    call.show({**named, "successions": rows}, human)


def _on_disk(path: Path) -> "tuple[list[SuccessionRow], str | None]":
    """What the database knows; nothing if the twin never ran, or ran before there was anything to know."""
    import sqlite3
    from contextlib import closing

    from storage import meta, successions
    from storage.connection import connect_reader
    from storage.snapshot import INSTANCE

    if not path.exists():
        return [], None
    with closing(connect_reader(path)) as conn:
        try:
            return successions.followed(conn), meta.get(conn, INSTANCE)
        except sqlite3.OperationalError:
            return [], None


def rotate(call: Call) -> None:
    from identity import keystore
    from node.cli import passphrase
    from node.dids import rotation
    from storage.home import Home

    home = Home(call.home)
    given: list[str | None] = [None]
    ask = passphrase.for_existing_home(call.args.passphrase_file)

    def open_sesame() -> str | None:
        given[0] = ask()
        return given[0]

    old, _ = keystore.names_in(home.identity_json)
    with home.lock():
        if not call.args.yes:
            _confirm(old)
        held = keystore.load(home.identity_json, open_sesame)
        new = rotation.rotate(home.identity_json, held, passphrase=given[0])

    def human() -> None:
        say(f"DID       {new}")
        say(f"formerly  {old}")
        say("Start it with `pagi up`: it tells the twins that it knows.")
        say("Make a new backup: an older one has the old key.")

    call.show({"did": new, "formerly": [old]}, human)


def _confirm(did: str) -> None:
    from node.cli.errors import BadInput

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput("nobody can be asked here: say --yes to give the twin a new key")
    remark(f"{did} gives way to a new DID, for good. Twins that know it follow; others will not know it any more.")
    sys.stderr.write("Type 'rotate' to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "rotate":
        raise BadInput("nothing was changed")


def backup(call: Call) -> None:
    from node.backup.homes import back_up
    from node.cli import passphrase
    from node.cli.progress import bytes_progress
    from storage.home import Home

    home = Home(call.home)
    secret = passphrase.for_new_backup(call.args.passphrase_file)
    target = Path(call.args.file).expanduser().absolute()
    progress = bytes_progress("backup")
    made = back_up(home, target, secret, with_models=call.args.with_models, progress=progress)
    document: dict[str, Any] = {
        "file": str(target),
        "did": made.did,
        "files": made.files,
        "size_bytes": target.stat().st_size,
    }
    call.show(document, lambda: say(f"{target}: {made.files} files of {made.did}, {document['size_bytes']} bytes"))


def restore(call: Call) -> None:
    from node.backup.homes import restore as restore_home
    from node.cli import passphrase
    from node.cli.errors import FileUnreadable
    from node.cli.progress import bytes_progress

    source = Path(call.args.file).expanduser().absolute()
    if not source.is_file():
        raise FileUnreadable(f"there is no file {source}")
    secret = passphrase.for_backup(call.args.passphrase_file)
    made = restore_home(source, call.home, secret, progress=bytes_progress("restore"))

    def human() -> None:
        say(f"DID   {made.did}")
        say(f"home  {call.home}")
        say(_TWO_COPIES)

    call.show({"did": made.did, "home": str(call.home), "files": made.files, "warning": _TWO_COPIES}, human)
