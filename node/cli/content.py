"""Commands of content by its CID: what it is, and what is kept of it. Adding and getting have modules of their own."""

from typing import Any

from node.cli import content_add, content_get, hosting, ipns
from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import say
from node.cli.progress import amount, bytes_progress


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("ipfs", "content by its CID")
    content_add.register(group)
    content_get.register(group)
    _register_looking(group)
    _register_keeping(group)
    ipns.register(group)
    hosting.register(group)


def _register_looking(group: Commands) -> None:
    ls_parser = group.add("ls", "list what a folder holds", ls)
    ls_parser.add_argument("path", metavar="CID[/PATH]")
    add_paging(ls_parser, 500)
    stat_parser = group.add("stat", "show what a CID is", stat)
    stat_parser.add_argument("path", metavar="CID[/PATH]")


def _register_keeping(group: Commands) -> None:
    pin_parser = group.add("pin", "fetch content and keep it", pin)
    pin_parser.add_argument("cid", metavar="CID")
    pin_parser.add_argument("--direct", action="store_true", help="only this block, not what it names")
    pin_parser.add_argument("--name", metavar="NAME", help="what it is for, in your words")
    pin_parser.add_argument("--at", metavar="TWIN", help="have another twin keep it, or `relay`, yours")
    unpin_parser = group.add("unpin", "keep content no longer: `gc` frees its room", unpin)
    unpin_parser.add_argument("cid", metavar="CID", nargs="+")
    unpin_parser.add_argument("--at", metavar="TWIN", help="have that twin, or `relay`, keep it no longer")
    pins_parser = group.add("pins", "list what is kept", pins)
    pins_parser.add_argument("--kind", choices=("recursive", "direct"))
    pins_parser.add_argument("--name", metavar="NAME", help="only those of this name")
    pins_parser.add_argument("--at", metavar="TWIN", help="what that twin keeps for you, or `relay`, or `all` of them")
    add_paging(pins_parser)
    group.add("gc", "remove every block that nothing needs", gc)
    group.add("usage", "show how much is kept, and how much may be", usage)


def ls(call: Call) -> None:
    cid, path = content_get.cid_and_path(call.args.path)
    document = call.client().get("ipfs", "ls", cid, query={"path": path, **paging(call.args)})
    rows = [(item["kind"] or "?", _size(item), item["cid"], _shown_name(item)) for item in document["items"]]
    call.show_list(document, ("kind", "size", "CID", "name"), rows, empty="The folder is empty.")


def stat(call: Call) -> None:
    cid, path = content_get.cid_and_path(call.args.path)
    document = call.client().get("ipfs", "stat", cid, query={"path": path})

    def human() -> None:
        say(f"CID     {document['cid']}")
        say(f"kind    {document['kind']}{', to ' + document['target'] if document['target'] else ''}")
        say(f"codec   {document['codec']}")
        if document["kind"] in ("file", "data"):
            say(f"size    {amount(document['size_bytes'])} ({document['size_bytes']} bytes)")
        if document["total_bytes"] is not None:
            say(f"blocks  {amount(document['total_bytes'])} in all, as its root says")
        say(f"links   {document['links']}")
        say(f"root    {'is here' if document['here'] else 'is not here'}")

    call.show(document, human)


def pin(call: Call) -> None:
    if call.args.at is not None:
        hosting.pin_at(call)
        return
    show = bytes_progress("pinning", quiet_s=1.0)

    def on_progress(progress: dict[str, Any]) -> None:
        show(progress["size_bytes"], progress["total_bytes"])

    body = {"kind": "direct" if call.args.direct else "recursive", "name": call.args.name}
    pinned = call.client().follow("PUT", "ipfs", "pins", call.args.cid, body=body, on_progress=on_progress)
    came = f", {pinned['new_blocks']} of them fetched" if pinned["new_blocks"] else ", all of them here before"
    blocks = f"{pinned['blocks']} {'block' if pinned['blocks'] == 1 else 'blocks'}"
    call.show(pinned, lambda: say(f"Pinned {blocks}, {amount(pinned['size_bytes'])}{came}."))


def unpin(call: Call) -> None:
    if call.args.at is not None:
        hosting.unpin_at(call)
        return
    client = call.client()
    for cid in call.args.cid:
        client.delete("ipfs", "pins", cid)
    call.show({"unpinned": call.args.cid}, lambda: say("No longer pinned. `pagi ipfs gc` frees its room."))


def pins(call: Call) -> None:
    if call.args.at is not None:
        hosting.pins_at(call)
        return
    query = {"kind": call.args.kind, "name": call.args.name, **paging(call.args)}
    document = call.client().get("ipfs", "pins", query=query)
    rows = [(item["cid"], item["kind"], item["name"]) for item in document["items"]]
    call.show_list(document, ("CID", "kind", "name"), rows, empty="Nothing is pinned.")


def gc(call: Call) -> None:
    freed = call.client().post("ipfs", "gc")

    def human() -> None:
        say(
            f"Freed {amount(freed['size_bytes'])} in {freed['blocks']} blocks."
            if freed["blocks"]
            else "Nothing to free."
        )

    call.show(freed, human)


def usage(call: Call) -> None:
    document = call.client().get("ipfs", "usage")
    used, quota, blocks = document["size_bytes"], document["quota_bytes"], document["blocks"]

    def human() -> None:
        in_blocks = "" if blocks is None else f" in {blocks} {'block' if blocks == 1 else 'blocks'}"
        say(f"{amount(used)} of {amount(quota)} ({used / quota:.0%}){in_blocks}, {document['backend']} backend")

    call.show(document, human)


def _size(item: dict[str, Any]) -> str:
    if item["kind"] == "folder" or item["size_bytes"] is None:
        return amount(item["total_bytes"])
    return amount(item["size_bytes"])


def _shown_name(item: dict[str, Any]) -> str:
    name = str(item["name"])
    if item["kind"] == "folder":
        return f"{name}/"
    return f"{name} -> {item['target']}" if item["target"] else name
