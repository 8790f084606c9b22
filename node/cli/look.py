"""Commands that look: id, peers, twins."""

from typing import Any

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    commands.add("id", "show who this twin is", show_id)
    add_paging(commands.add("peers", "list the connected peers", peers))
    add_paging(commands.add("twins", "list the twins that this one knows", twins))


def show_id(call: Call) -> None:
    document = call.client().get("id")
    mediators = call.client().get("didcomm", "mediators")["items"]

    def human() -> None:
        say(f"{document['name']}  (pagi-twin {document['version']})")
        say(f"DID      {document['did']}")
        for did in document["also_known_as"]:
            say(f"also     {did}")
        for did in reversed(document["formerly"]):
            say(f"formerly {did}")
        say(f"peer ID  {document['peer_id']}")
        for address in document["addresses"]:
            say(f"address  {address}")
        for mediator in mediators:
            say(f"mail     {_mediator(mediator)}")
        say(f"can      {', '.join(document['capabilities']) or 'nothing that it announces'}")

    call.show(document, human)


def _mediator(mediator: dict[str, Any]) -> str:
    """How a mediator stands, in one line."""
    keeps = {
        "granted": "is kept by",
        "asking": "is to be kept by",
        "denied": "is not kept by",
        "failed": "is not kept by",
        "away": "is kept by" if mediator["routing_did"] else "is not kept by",
    }[mediator["state"]]
    details = [mediator["reason"]] if mediator["reason"] else []
    details += ["not connected"] if mediator["state"] == "away" else []
    details += [f"{mediator['waiting']} wait there"] if mediator["waiting"] else []
    details += [f"last picked up {mediator['picked_up_time']}"] if mediator["picked_up_time"] else []
    return f"{keeps} {mediator['did']}" + (f" ({'; '.join(details)})" if details else "")


def peers(call: Call) -> None:
    document = call.client().get("swarm", "peers", query=paging(call.args))
    rows = [
        (
            peer["peer_id"],
            _latency(peer["latency_ms"]),
            "relayed" if peer["relayed"] else "direct",
            ", ".join(peer["addresses"]),
        )
        for peer in document["items"]
    ]
    call.show_list(document, ("peer ID", "latency", "path", "addresses"), rows, empty="No peer is connected.")


def _latency(ms: float | None) -> str:
    """Pings are measured in whole milliseconds."""
    if ms is None:
        return "not measured yet"
    return f"{ms:.0f} ms" if ms >= 1 else "under 1 ms"


def twins(call: Call) -> None:
    document = call.client().get("twins", query=paging(call.args))
    rows = [
        (
            twin["name"],
            twin["did"],
            "online" if twin["online"] else "offline",
            twin["last_seen"],
            f"{twin['reputation']:.2f}",
            ", ".join(twin["capabilities"]),
            ", ".join(twin["topics"]),
            f"formerly {twin['formerly'][-1]}" if twin["formerly"] else "",
        )
        for twin in document["items"]
    ]
    columns = ("name", "DID", "state", "last seen", "reputation", "can", "knows about", "")
    call.show_list(document, columns, rows, empty="No other twin is known yet.")
