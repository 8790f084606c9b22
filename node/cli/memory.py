"""Commands of memory: add, search, list, forget."""

import argparse
from typing import Final

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import BadInput
from node.cli.inputs import read_text
from node.cli.output import one_line, say

_KINDS: Final = ("working", "episodic", "semantic")


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("memory", "what the twin remembers")
    add_parser = group.add("add", "remember a text, or a file piece by piece", add)
    add_parser.add_argument("text", metavar="TEXT", nargs="?", help="'-' reads stdin")
    add_parser.add_argument("--file", metavar="FILE", help="cut into paragraphs, each a memory of its own")
    add_parser.add_argument("--kind", choices=_KINDS, default="semantic")
    add_parser.add_argument("--tags", metavar="A,B", type=_tags, default=[], help="separated by commas")
    add_parser.add_argument(
        "--namespace", metavar="NAME", default="private", help="private (the default), ask or shared"
    )
    search_parser = group.add("search", "find memories by their meaning", search)
    search_parser.add_argument("query", metavar="QUERY")
    search_parser.add_argument("-k", type=bounded(1, 100), default=5, metavar="N", help="at most so many")
    search_parser.add_argument("--kind", choices=_KINDS)
    search_parser.add_argument("--namespace", metavar="NAME")
    list_parser = group.add("list", "list memories", list_memories)
    list_parser.add_argument("--kind", choices=_KINDS)
    list_parser.add_argument("--namespace", metavar="NAME")
    add_paging(list_parser)
    forget_parser = group.add("forget", "forget memories", forget)
    forget_parser.add_argument("id", metavar="ID", nargs="+")


def add(call: Call) -> None:
    from node.memory.ingest import split_text

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
    }
    document = call.client().post("memory", "search", body=body)
    rows = [(f"{hit['score']:.3f}", hit["id"], hit["namespace"], one_line(hit["content"])) for hit in document["items"]]
    call.show_list(document, ("score", "id", "namespace", "content"), rows, empty="Nothing like that is remembered.")


def list_memories(call: Call) -> None:
    query = {**paging(call.args), "kind": call.args.kind, "namespace": call.args.namespace}
    document = call.client().get("memory", query=query)
    rows = [
        (row["id"], row["ts"], row["kind"], row["namespace"], ", ".join(row["tags"]), one_line(row["content"]))
        for row in document["items"]
    ]
    columns = ("id", "since", "kind", "namespace", "tags", "content")
    call.show_list(document, columns, rows, empty="Nothing is remembered yet.")


def forget(call: Call) -> None:
    client = call.client()
    for memory_id in call.args.id:
        client.delete("memory", memory_id)
    call.show({"forgotten": call.args.id}, lambda: say(f"Forgot {len(call.args.id)}."))


def _tags(text: str) -> list[str]:
    tags = [tag.strip() for tag in text.split(",") if tag.strip()]
    if not tags:
        raise argparse.ArgumentTypeError("name at least one tag")
    return tags
