"""`pagi approvals`: what waits for the owner, and deciding it."""

from typing import Any

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import one_line, say
from node.cli.watching import how_to_decide


def register(commands: Commands) -> None:
    """Add the command."""
    group = commands.group("approvals", "what waits for your decision: list, show, approve, deny, answer", usual="list")
    listing = group.add("list", "what waits for you, newest first", listed)
    listing.add_argument("--all", action="store_true", help="also what was decided")
    add_paging(listing)
    show = group.add("show", "one of them, with the signed record of its decision", shown)
    show.add_argument("id", metavar="ID")
    for name, about in (("approve", "allow it, this once"), ("deny", "do not allow it")):
        parser = group.add(name, about, decide)
        parser.add_argument("id", metavar="ID")
        parser.add_argument("--note", metavar="TEXT", help="say why")
        parser.set_defaults(decision=name)
    answer = group.add("answer", "answer a question of the twin", decide)
    answer.add_argument("id", metavar="ID")
    answer.add_argument("note", metavar="TEXT")
    answer.set_defaults(decision="approve")


def listed(call: Call) -> None:
    status = "all" if call.args.all else "pending"
    document = call.client().get("approvals", query={**paging(call.args), "status": status})
    rows = [
        (row["id"], row["created"], row["kind"], row["status"], one_line(row["summary"], 100))
        for row in document["items"]
    ]
    columns = ("id", "created", "kind", "status", "what")
    call.show_list(document, columns, rows, empty="Nothing waits for you.")


def shown(call: Call) -> None:
    document = call.client().get("approvals", call.args.id)
    call.show(document, lambda: _say(document))


def decide(call: Call) -> None:
    body = {"decision": call.args.decision, "note": call.args.note}
    document = call.client().post("approvals", call.args.id, body=body)
    call.show(document, lambda: say(f"{document['status']}: {document['summary']}"))


def _say(row: dict[str, Any]) -> None:
    say(f"{row['id']}  {row['kind']}  {row['status']}")
    say(row["summary"])
    say(f"asked {row['created']}, expires {row['expires']}")
    if row["job_id"]:
        say(f"for job {row['job_id']}")
    if row["status"] == "pending":
        say(how_to_decide(row))
    else:
        say(f"decided {row['decided']}{': ' + row['note'] if row['note'] else ''}")
