"""Commands that look: id, peers, twins."""

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    commands.add("id", "show who this twin is", show_id)
    add_paging(commands.add("peers", "list the connected peers", peers))
    add_paging(commands.add("twins", "list the twins that this one knows", twins))


def show_id(call: Call) -> None:
    document = call.client().get("id")

    def human() -> None:
        say(f"{document['name']}  (pagi-twin {document['version']})")
        say(f"DID      {document['did']}")
        say(f"peer ID  {document['peer_id']}")
        for address in document["addresses"]:
            say(f"address  {address}")
        say(f"can      {', '.join(document['capabilities']) or 'nothing that it announces'}")

    call.show(document, human)


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
        )
        for twin in document["items"]
    ]
    columns = ("name", "DID", "state", "last seen", "reputation", "can", "knows about")
    call.show_list(document, columns, rows, empty="No other twin is known yet.")
