"""The command of the budget: what models were used for, and how far that is from the limits."""

from typing import Any

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import remark, say, table

_SCOPES = {"day": "today (UTC)", "session": "session", "twin": "ever"}


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("budget", "what models were used for, and the limits of [budget]", budget)
    parser.add_argument("--session", metavar="ID", help="that of one conversation as well")
    add_paging(parser, default=20)


def budget(call: Call) -> None:
    client = call.client()
    state = client.get("budget", query={"session_id": call.args.session})
    usage = client.get("budget", "usage", query=paging(call.args))

    def human() -> None:
        rows = [
            (_SCOPES[scope["scope"]], *(_share(scope[what]) for what in ("tokens", "seconds", "money")))
            for scope in state["scopes"]
        ]
        table(("of", "tokens", "seconds", "money"), rows, empty="")
        if state["state"] != "ok":
            remark(
                f"The budget is {state['state']}: raise a limit in [budget] of config.toml, or wait for the next day."
            )
        say()
        table(_COLUMNS, [_row(one) for one in usage["items"]], empty="No model has been asked yet.")
        call.say_more(usage)

    call.show({**state, **usage}, human)


_COLUMNS = ("day", "provider", "model", "calls", "failed", "tokens in", "cached", "out", "seconds", "money")


def _share(share: dict[str, Any]) -> str:
    return f"{share['used']:.6g}" + (f" of {share['limit']:.6g}" if share["limit"] is not None else "")


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    tokens = (one["prompt_tokens"], one["cached_tokens"], one["completion_tokens"])
    return (
        *(one["day"], one["provider"], one["model"], one["calls"], one["failed"], *tokens),
        f"{one['seconds']:.1f}",
        f"{one['money']:.4g}",
    )
