"""Pins with others: what a friend or a relay keeps for this twin, and what this twin keeps for its friends."""

from typing import Final

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.errors import NameUnknown
from node.cli.names import did_of, labels
from node.cli.output import say
from node.cli.progress import amount

RELAY: Final = "relay"
"""Where a host can stand: the relay that keeps this twin's mail."""


def register(group: Commands) -> None:
    """Add the commands of this area to those of content."""
    hosted_parser = group.add("hosted", "list what is kept here for other twins", hosted)
    add_paging(hosted_parser)


def pin_at(call: Call) -> None:
    """Have a host keep a CID."""
    host = _host(call, call.args.at)
    pin = call.client().put("ipfs", "remote-pins", host, call.args.cid, body={"name": call.args.name})
    call.show(pin, lambda: say("It is being asked to keep it. `pagi ipfs pins --at all` shows how that stands."))


def unpin_at(call: Call) -> None:
    """Have a host keep CIDs no longer."""
    host, client = _host(call, call.args.at), call.client()
    for cid in call.args.cid:
        client.delete("ipfs", "remote-pins", host, cid)
    call.show({"unpinned": call.args.cid, "host": host}, lambda: say("Ended. The host is told as soon as it is there."))


def pins_at(call: Call) -> None:
    """List what hosts keep."""
    host = None if call.args.at == "all" else _host(call, call.args.at)
    document = call.client().get("ipfs", "remote-pins", query={"host": host, **paging(call.args)})
    name_of, relays = labels(call), _relays(call)
    rows = [
        (
            item["cid"],
            RELAY if item["host"] in relays else name_of(item["host"]),
            item["status"],
            item["name"],
            item["reason"],
        )
        for item in document["items"]
    ]
    call.show_list(document, ("CID", "host", "status", "name", "reason"), rows, empty="Nobody keeps anything for you.")


def hosted(call: Call) -> None:
    document = call.client().get("ipfs", "hosted-pins", query=paging(call.args))
    name_of = labels(call)
    rows = [
        (item["cid"], name_of(item["client"]), item["status"], amount(item["size_bytes"]), item["name"], item["reason"])
        for item in document["items"]
    ]
    used, quota = amount(document["used_bytes"]), amount(document["quota_bytes"])
    empty = f"Nothing is kept for others; up to {quota} would be."
    call.show_list(document, ("CID", "for", "status", "size", "name", "reason"), rows, empty=empty)
    if document["items"] and not call.args.json:
        say(f"{used} of {quota} in all")


def _host(call: Call, given: str) -> str:
    """What stands for a host: a DID, a name of a twin, or `relay`. Raises NameUnknown."""
    if given.casefold() != RELAY:
        return did_of(call, given)
    granted = _relays(call)
    if not granted:
        raise NameUnknown("no relay keeps mail for this twin, so none keeps content: name a twin, or see `pagi doctor`")
    return granted[0]


def _relays(call: Call) -> list[str]:
    """The relays that keep this twin's mail; `relay` stands for the first."""
    mediators = call.client().get("didcomm", "mediators")["items"]
    return [str(mediator["did"]) for mediator in mediators if mediator["state"] == "granted"][:1]
