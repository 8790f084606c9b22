"""Commands of the kill switch: stop all twins that heed this one's key, let them go on, see who stopped this one."""

from typing import Any

from node.cli.command import Call, Commands
from node.cli.names import labels
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("fleet", "stop the work of all your twins at once", usual="status")
    group.add("status", "say whether work is stopped, by whom and why", status)
    stopping = group.add("stop", "stop this twin and all that have its DID in their [mind] owners", stop)
    stopping.add_argument("--reason", default="", metavar="TEXT", help="shown by every twin that stops")
    group.add("resume", "take this twin's own stop back", resume)


def status(call: Call) -> None:
    _show(call, call.client().get("fleet"))


def stop(call: Call) -> None:
    _show(call, call.client().post("fleet", body={"action": "stop", "reason": call.args.reason}))


def resume(call: Call) -> None:
    _show(call, call.client().post("fleet", body={"action": "resume"}))


def _show(call: Call, fleet: dict[str, Any]) -> None:
    def human() -> None:
        who = labels(call)
        for order in fleet["stops"]:
            why = f": {order['reason']}" if order["reason"] else ""
            say(f"All work is stopped by {who(order['by'])} since {order['since']}{why}")
        if not fleet["stops"]:
            say("Work goes on.")
        elif any(who(order["by"]) != "me" for order in fleet["stops"]):
            say("Only the one who stopped it can let it go on: `pagi fleet resume` on that twin.")
        else:
            say("Let it go on with `pagi fleet resume`.")
        others = [who(did) for did in fleet["owners"] if who(did) != "me"]
        say(f"Orders are taken from {', '.join(['this twin', *others])}.")

    call.show(fleet, human)
