"""Commands of invitations: invite, invitations, accept."""

import io
import shutil
import sys
from typing import Any

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import FileUnreadable
from node.cli.mail import YEAR_S
from node.cli.output import remark, say


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
    group = commands.group("invitations", "invitations that you have made")
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
    invitation = call.client().post("didcomm", "invitation", body=body)
    if args.png:
        _write_png(invitation["url"], args.png)
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


def accept(call: Call) -> None:
    accepted = call.client().post("didcomm", "accept", body={"url": call.args.url})

    def human() -> None:
        say(f"{accepted['did']} is named" + (f": {accepted['name']}." if accepted["name"] else "."))
        remark("It is told so as soon as it can be reached: see `pagi outbox`.")

    call.show(accepted, human)


def _say(invitation: dict[str, Any], *, always_draw: bool) -> None:
    say(invitation["url"])
    if always_draw or sys.stdout.isatty():
        drawn = _drawn(invitation["url"])
        if always_draw or len(drawn.partition("\n")[0]) <= shutil.get_terminal_size().columns:
            say(drawn)
        else:
            remark("The QR code is wider than this terminal: write it to a file with --png FILE.")
    times = "once" if invitation["uses"] == 1 else f"{invitation['uses']} times"
    remark(f"It counts {times}, until {invitation['expires']}. Whoever has it is named: give it to nobody else.")


def _drawn(url: str) -> str:
    """A QR code of block characters."""
    import segno

    drawing = io.StringIO()
    segno.make(url, error="L", micro=False).terminal(drawing, compact=True)
    return drawing.getvalue()


def _write_png(url: str, name: str) -> None:
    import segno

    try:
        segno.make(url, error="L", micro=False).save(name, kind="png", scale=6)
    except OSError as error:
        raise FileUnreadable(f"cannot write {name}: {error.strerror or error}") from error
