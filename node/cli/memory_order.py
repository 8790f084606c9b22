"""Commands of the memory's order: namespaces, sessions, episodes, consolidate, index."""

import sys

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.errors import BadInput
from node.cli.output import one_line, say


def register(group: Commands) -> None:
    """Add the commands to the group `memory`."""
    places = group.add("namespaces", "who may be told of what: list them, or set one", namespaces)
    places.add_argument("action", choices=("set",), nargs="?")
    places.add_argument("name", metavar="NAME", nargs="?")
    places.add_argument("privacy", choices=("private", "ask", "shared"), nargs="?")
    add_paging(group.add("sessions", "the conversations that are remembered", sessions))
    happened = group.add("episodes", "what happened, at some time or ever", episodes)
    happened.add_argument("when", metavar="TIME", nargs="?", help='"last Tuesday", "in May", "two weeks ago" …')
    add_paging(happened)
    group.add("consolidate", "make episodes of conversations that are over, and tidy facts, now", consolidate)
    group.add("index", "how far the index is", index)


def namespaces(call: Call) -> None:
    args, client = call.args, call.client()
    if args.action == "set":
        if args.name is None or args.privacy is None:
            raise BadInput("give NAME and one of private, ask, shared")
        document = client.put("memory", "namespaces", body={"name": args.name, "privacy": args.privacy})
    else:
        document = client.get("memory", "namespaces")
    rows = [
        (row["name"], row["privacy"], row["memories"], "only you" if row["fixed"] else "", row["description"])
        for row in document["items"]
    ]
    call.show_list(document, ("name", "privacy", "memories", "written by", "holds"), rows, empty="")


def sessions(call: Call) -> None:
    document = call.client().get("memory", "sessions", query=paging(call.args))
    rows = [(row["session_id"], row["last"], row["turns"], row["episodes"], row["facts"]) for row in document["items"]]
    columns = ("session", "last used", "turns", "episodes", "facts")
    call.show_list(document, columns, rows, empty="No conversation is remembered yet.")


def episodes(call: Call) -> None:
    query = {**paging(call.args), "when": call.args.when}
    document = call.client().get("memory", "episodes", query=query)
    rows = [
        (row["happened"], row["id"], row["mood"], row["outcome"], one_line(row["content"], 200))
        for row in document["items"]
    ]
    columns = ("happened", "id", "mood", "outcome", "what")
    call.show_list(document, columns, rows, empty="Nothing is remembered of that time.")


def consolidate(call: Call) -> None:
    """Pass after pass, until one has nothing left or a goal comes."""
    client = call.client()
    total = dict.fromkeys(("episodes", "facts", "merged", "contradictions", "expired"), 0)
    while True:
        done = client.post("memory", "consolidate", body=None)
        for name in total:
            total[name] += done[name]
        if not done["more"]:
            break
        sys.stderr.write(f"{total['episodes']} episodes, {total['merged']} merged so far\n")
        sys.stderr.flush()

    def human() -> None:
        say(", ".join(f"{count} {name}" for name, count in total.items()) + ".")
        if done["interrupted"]:
            say("A goal is being worked on; the rest waits until it is done.")

    call.show({**total, "interrupted": done["interrupted"]}, human)


def index(call: Call) -> None:
    document = call.client().get("memory", "index")

    def human() -> None:
        for name, value in document.items():
            say(f"{name}: {value}")

    call.show(document, human)
