"""Commands of invitations: invite, invitations, accept."""

import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED, FileUnreadable
from node.cli.mail import YEAR_S
from node.cli.output import remark, say

ACCEPT_WAIT_S: Final = 5.0
"""How long `accept` waits for the one who invited, who may be away for days."""


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("invite", "make a link by which another owner's twin and yours name each other", invite)
    parser.add_argument("--goal", metavar="TEXT", help="what it is for, in a line")
    parser.add_argument("--goal-code", metavar="CODE", help="the same for programs")
    parser.add_argument("--name", metavar="NAME", help="what whoever comes is called here")
    parser.add_argument("--uses", type=bounded(1, 1000), default=1, metavar="N", help="how many may come by it (1)")
    parser.add_argument("--expires", type=bounded(60, YEAR_S), metavar="S", help="open for so many seconds (a week)")
    parser.add_argument("--qr", action="store_true", help="show the QR code also where it does not seem to fit")
    parser.add_argument("--png", metavar="FILE", help="write the QR code there")
    group = commands.group("invitations", "invitations that you have made", usual="list")
    add_paging(group.add("list", "list them", list_invitations))
    group.add("withdraw", "take one back", withdraw).add_argument("id", metavar="ID")
    commands.add("accept", "accept an invitation", accept).add_argument("url", metavar="URL")


def invite(call: Call) -> None:
    args = call.args
    given = {
        "goal": args.goal,
        "goal_code": args.goal_code,
        "name": args.name,
        "uses": args.uses,
        "expires_s": args.expires,
    }
    body = {name: value for name, value in given.items() if value is not None}
    if args.png:
        _check_writable(args.png)  # An invitation that nobody can be shown would stay open.
    invitation = call.client().post("didcomm", "invitation", body=body)
    if args.png:
        _write_png(invitation["url"], args.png)
        remark(f"The QR code is in {args.png}.")
    call.show(invitation, lambda: _say(invitation, always_draw=args.qr))


def list_invitations(call: Call) -> None:
    document = call.client().get("didcomm", "invitations", query=paging(call.args))
    rows = [
        (row["id"], "open" if row["open"] else "over", f"{row['used']}/{row['uses']}", row["expires"], row["goal"])
        for row in document["items"]
    ]
    call.show_list(document, ("id", "status", "used", "expires", "goal"), rows, empty="No invitations.")


def withdraw(call: Call) -> None:
    removed = call.client().delete("didcomm", "invitations", call.args.id)
    call.show(removed, lambda: say(f"{removed['id']} admits nobody any more."))


def accept(call: Call) -> int:
    """Exit status 1 if whoever invited does not take it."""
    body = {"url": "".join(call.args.url.split()), "wait_s": ACCEPT_WAIT_S}
    accepted = call.client().post("didcomm", "accept", body=body)

    def human() -> None:
        say(f"{accepted['did']} is named" + (f": {accepted['name']}." if accepted["name"] else "."))
        match accepted["status"]:
            case "delivered":
                say("It has named this twin as well: `pagi send` reaches it.")
            case "failed":
                remark("It does not take the invitation: it was used up or withdrawn. Ask for a new one.")
                remark("To name it no longer: `pagi trust remove DID`.")
            case _:
                remark("It is told so as soon as it can be reached: see `pagi outbox`.")

    call.show(accepted, human)
    return EXIT_FAILED if accepted["status"] == "failed" else 0


def _say(invitation: dict[str, Any], *, always_draw: bool) -> None:
    say(invitation["url"])
    if always_draw or sys.stdout.isatty():
        lines = _drawn(invitation["url"])
        width, columns = len(lines[0]), shutil.get_terminal_size().columns
        if always_draw or width <= columns:
            _draw(lines)
        else:
            remark(f"The QR code is {width} columns wide, this terminal {columns}: write it to a file with --png FILE.")
    times = "once" if invitation["uses"] == 1 else f"{invitation['uses']} times"
    remark(f"It counts {times}, until {invitation['expires']}. Whoever has it is named: give it to nobody else.")


def _drawn(url: str) -> list[str]:
    """A QR code of block characters, its light parts filled."""
    import segno

    drawing = io.StringIO()
    segno.make(url, error="L", micro=False).terminal(drawing, compact=True)
    return drawing.getvalue().splitlines()


def _draw(lines: Sequence[str]) -> None:
    """White on black whatever the terminal's colours are: some telephones do not read a code with them swapped."""
    before, after = ("\x1b[38;5;231;48;5;16m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    for line in lines:
        print(f"{before}{line}{after}")


def _check_writable(name: str) -> None:
    folder = Path(name).absolute().parent
    if Path(name).is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise FileUnreadable(f"cannot write {name}: {folder} cannot be written, or {name} is a folder")


def _write_png(url: str, name: str) -> None:
    import segno

    try:
        segno.make(url, error="L", micro=False).save(name, kind="png", scale=6)
    except OSError as error:
        raise FileUnreadable(f"cannot write {name}: {error.strerror or error}") from error
