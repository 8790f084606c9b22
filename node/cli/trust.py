"""Commands of trust: show the list, allow a twin, block one, remove one from the list."""

from collections.abc import Callable
from typing import Any

from node.cli.command import Call, Commands
from node.cli.names import did_of, labels
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("trust", "whom this twin works with", usual="show")
    group.add("show", "show the list", show)
    for name, text, handler, metavar in (
        ("allow", "let twins work with this one", allow, "DID"),
        ("block", "refuse everything from twins", block, "DID|NAME"),
        ("remove", "make twins strangers again", remove, "DID|NAME"),
    ):
        group.add(name, text, handler).add_argument("did", metavar=metavar, nargs="+")
    adopting = group.add("adopt", "whether what named twins teach is adopted unasked", adopt)
    adopting.add_argument("when", choices=("unasked", "asked"))


def show(call: Call) -> None:
    _show(call, call.client().get("trust"))


def allow(call: Call) -> None:
    """By DID alone: a stranger's name counts for nothing."""
    _change(call, set(call.args.did), lambda dids: {"allow": dids, "block": set()})


def block(call: Call) -> None:
    _change(call, {did_of(call, given) for given in call.args.did}, lambda dids: {"allow": set(), "block": dids})


def remove(call: Call) -> None:
    _change(call, {did_of(call, given) for given in call.args.did}, lambda _: {"allow": set(), "block": set()})


def adopt(call: Call) -> None:
    client = call.client()
    trust = {**client.get("trust"), "auto_adopt": call.args.when == "unasked"}
    _show(call, client.put("trust", body=trust))


def _change(call: Call, dids: set[str], put_on: Callable[[set[str]], dict[str, set[str]]]) -> None:
    """Take the twins off both lists, and put them onto the one that was asked for."""
    client = call.client()
    trust = client.get("trust")
    for name, added in put_on(dids).items():
        trust[name] = sorted((set(trust[name]) - dids) | added)
    _show(call, client.put("trust", body=trust))


def _show(call: Call, trust: dict[str, Any]) -> None:
    def human() -> None:
        who = labels(call)
        for name in ("allow", "block"):
            for did in trust[name]:
                say(f"{name:<6} {did}" + (f"  {who(did)}" if who(did) != did else ""))
        if not trust["allow"] and not trust["block"]:
            say("Nobody is named: every other twin is a stranger.")
        if trust["auto_adopt"]:
            say("What named twins teach is adopted unasked.")
        else:
            say("What named twins teach waits for you: see `pagi playbook log`, or `pagi trust adopt unasked`.")

    call.show(trust, human)
