"""Commands of memory: add, search, list, show, forget; those of its order are in memory_order.py."""

import argparse
import sys
from typing import Any, Final

from node.cli import documents, memory_order
from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import BadInput
from node.cli.inputs import read_text
from node.cli.output import one_line, remark, say

_MOST_BY_QUERY: Final = 100
"""What the twin forgets by one query."""

_KINDS: Final = ("working", "episodic", "semantic")


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("memory", "what the twin remembers", usual="list")
    documents.register(group)
    add_parser = group.add("add", "remember a text, or a file piece by piece", add)
    add_parser.add_argument("text", metavar="TEXT", nargs="?", help="'-' reads stdin")
    add_parser.add_argument("--file", metavar="FILE", help="cut into paragraphs, each a memory of its own")
    add_parser.add_argument("--kind", choices=_KINDS, default="semantic")
    add_parser.add_argument("--tags", metavar="A,B", type=_tags, default=[], help="separated by commas")
    add_parser.add_argument(
        "--namespace", metavar="NAME", default="private", help="private (the default), ask, shared, or another"
    )
    search_parser = group.add("search", "find memories by what they are about", search)
    search_parser.add_argument("query", metavar="QUERY")
    search_parser.add_argument("-k", type=bounded(1, 100), default=5, metavar="N", help="at most so many")
    search_parser.add_argument("--kind", choices=_KINDS)
    search_parser.add_argument("--namespace", metavar="NAME")
    search_parser.add_argument("--when", metavar="TIME", help='only of that time: "last Tuesday", "in May", 2026-05-14')
    search_parser.add_argument("--why", action="store_true", help="say what each was found by")
    list_parser = group.add("list", "list memories", list_memories)
    list_parser.add_argument("--kind", choices=_KINDS)
    list_parser.add_argument("--namespace", metavar="NAME")
    list_parser.add_argument("--session", metavar="ID")
    list_parser.add_argument("--source", metavar="SOURCE", help="a file, a URL, told, api …")
    add_paging(list_parser)
    show_parser = group.add("show", "one memory, with all that is known of it", show)
    show_parser.add_argument("id", metavar="ID")
    _register_forget(group)
    memory_order.register(group)


def _register_forget(group: Commands) -> None:
    parser = group.add("forget", "forget memories for good, with all that was made from them", forget)
    parser.add_argument("id", metavar="ID", nargs="*")
    parser.add_argument("--query", metavar="TEXT", help="what is about this")
    parser.add_argument("--namespace", metavar="NAME", help="everything in it")
    parser.add_argument("--session", metavar="ID", help="everything of one conversation")
    parser.add_argument("--source", metavar="SOURCE", help="everything of a file or, with / at its end, of a folder")
    parser.add_argument("--when", metavar="TIME", help='everything of a time: "yesterday", "in May", 2026-05-14')
    parser.add_argument("--yes", action="store_true", help="do not ask; without ids nothing is forgotten before that")


def add(call: Call) -> None:
    from node.memory.documents.splitting import split_text

    args = call.args
    if (args.text is None) == (args.file is None):
        raise BadInput("give either TEXT or --file")
    whole_file = args.file or (args.text if args.text == "-" else None)
    texts = [args.text] if whole_file is None else split_text(read_text(whole_file))
    if not texts:
        raise BadInput("there is no text to remember")
    client = call.client()
    ids = []
    for text in texts:
        body = {"kind": args.kind, "content": text, "namespace": args.namespace, "tags": args.tags}
        ids.append(client.post("memory", body=body)["id"])

    def human() -> None:
        for memory_id in ids:
            say(memory_id)

    call.show({"id": ids[0]} if args.file is None and len(ids) == 1 else {"ids": ids}, human)


def search(call: Call) -> None:
    args = call.args
    body = {
        "query": args.query,
        "k": args.k,
        "kinds": [args.kind] if args.kind else None,
        "namespace": args.namespace,
        "when": args.when,
    }
    document = call.client().post("memory", "search", body=body)
    rows = [
        (f"{hit['score']:.3f}", hit["id"], hit["namespace"], one_line(hit["content"]), *_why(hit, shown=args.why))
        for hit in document["items"]
    ]
    columns = ("score", "id", "namespace", "content", *(("why",) if args.why else ()))
    call.show_list(document, columns, rows, empty="Nothing like that is remembered.")


def _why(hit: dict[str, Any], *, shown: bool) -> tuple[str, ...]:
    return ("; ".join(hit["why"]),) if shown else ()


def list_memories(call: Call) -> None:
    args = call.args
    wanted = {"kind": args.kind, "namespace": args.namespace, "session_id": args.session, "source": args.source}
    document = call.client().get("memory", query={**paging(args), **wanted})
    rows = [
        (row["id"], row["ts"], row["kind"], row["namespace"], ", ".join(row["tags"]), one_line(row["content"]))
        for row in document["items"]
    ]
    columns = ("id", "since", "kind", "namespace", "tags", "content")
    call.show_list(document, columns, rows, empty="Nothing is remembered yet.")


def show(call: Call) -> None:
    document = call.client().get("memory", call.args.id)

    def human() -> None:
        say(document["content"])
        say()
        for name, value in document.items():
            if name != "content" and value not in (None, []):
                say(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")

    call.show(document, human)


def forget(call: Call) -> int | None:
    args = call.args
    named = {
        "ids": args.id or None,
        "query": args.query,
        "namespace": args.namespace,
        "session_id": args.session,
        "source": args.source,
        "when": args.when,
    }
    if not any(named.values()):
        raise BadInput("say what to forget: ids, --query, --namespace, --session, --source or --when")
    client = call.client()
    if not args.yes and any(value for name, value in named.items() if name != "ids"):
        would = client.post("memory", "forget", body={**named, "dry_run": True})
        _say_what(would, call)
        if not would["memories"] or not _agreed(would["memories"]):
            call.show(would, lambda: None)
            return 0 if not would["memories"] else 1
        if args.query:  # exactly what was shown, whatever came in meanwhile
            named = {"ids": [row["id"] for row in would["items"]]}
    done = client.post("memory", "forget", body=named)
    if not done["memories"] and args.id:
        client.get("memory", args.id[0])  # says that there is no such memory
    call.show(done, lambda: _say_done(done))
    if args.query and done["memories"] >= _MOST_BY_QUERY:
        remark("There may be more of it: the same again finds them.")
    return None


def _say_what(would: dict[str, Any], call: Call) -> None:
    if call.json:
        return
    for row in would["items"]:
        say(f"{row['happened'][:10]}  {row['namespace']:8}  {one_line(row['content'])}")
    if not would["memories"]:
        say("Nothing like that is remembered.")
    elif would["memories"] > len(would["items"]):
        say(f"… and {would['memories'] - len(would['items'])} more")


def _agreed(memories: int) -> bool:
    if not sys.stdin.isatty():
        remark("Nothing was forgotten: add --yes to forget these.")
        return False
    sys.stderr.write(f"Forget {'this' if memories == 1 else f'these {memories}'} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say_done(done: dict[str, Any]) -> None:
    also = f", and {done['also']} made from them or saying the same" if done["also"] else ""
    jobs = f"; emptied the records of {done['jobs']} jobs that told them" if done["jobs"] else ""
    say(f"Forgot {done['memories']}{also}{jobs}.")
    for held in done["held"]:
        say(f"Still in {held['what']} {held['name']}: {held['hint']}")


def _tags(text: str) -> list[str]:
    tags = [tag.strip() for tag in text.split(",") if tag.strip()]
    if not tags:
        raise argparse.ArgumentTypeError("name at least one tag")
    return tags
