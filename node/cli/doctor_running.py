"""What the doctor asks the running twin: whom it reaches, where its content is, and what waits for its owner.

While it does not run nothing of it is known, and there is nothing to complain of.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final

from node.cli.client import Client
from node.cli.command import MAX_LIMIT, Call
from node.cli.errors import NodeNotRunning
from node.cli.finding import Check, Finding
from node.cli.progress import amount

_FULL_QUOTA: Final = 0.9
"""From here on a long transfer may not fit any more."""

_Asked = Callable[[Call, Client], Finding]


def _of_running(check: _Asked) -> Check:
    """A check that is made only while the twin runs."""

    @wraps(check)
    def found(call: Call) -> Finding:
        try:
            if (call.home / "api").exists():
                return check(call, call.client())
        except NodeNotRunning:
            pass
        name = check.__name__.removeprefix("check_")
        return Finding(name, "ok", "nothing is known while the twin is not running")

    return found


@_of_running
def check_network(_: Call, twin: Client) -> Finding:
    """Whether it has anybody to talk with."""
    peers = len(twin.get("swarm", "peers")["items"])
    if peers:
        return Finding("network", "ok", f"{peers} {'peer is' if peers == 1 else 'peers are'} connected")
    hint = "Twins of one local network find each other; to meet others name a relay with `pagi up --bootstrap`."
    return Finding("network", "warn", "nobody is connected", hint)


@_of_running
def check_dht(call: Call, twin: Client) -> Finding:
    """Whether content and names can be found at twins that are not connected."""
    from node.config import load_config

    mode = load_config(call.home / "config.toml").network.dht
    if mode == "off":
        return Finding("dht", "ok", "off: content is looked for at connected twins only")
    servers = len(twin.get("swarm", "dht")["servers"])
    detail = f"{mode}, {servers} {'server' if servers == 1 else 'servers'} can be reached"
    if servers or mode == "server":
        return Finding("dht", "ok", detail)
    hint = "Content and names are found at connected twins only. A relay is a server: `pagi up --bootstrap`."
    return Finding("dht", "warn", detail, hint)


@_of_running
def check_identity(_: Call, twin: Client) -> Finding:
    """Whether it heard somebody else speak in its name."""
    detail = _health(twin, "identity")
    if detail.startswith("degraded: "):
        hint = "Another copy of this home runs, or its key was stolen. Stop the other one; see docs/identity.md."
        return Finding("identity", "fail", detail.removeprefix("degraded: "), hint)
    return Finding("identity", "ok", "nobody else speaks in this twin's name")


@_of_running
def check_content(_: Call, twin: Client) -> Finding:
    """Where it has its content, whether that answers, and how full it is."""
    usage = twin.get("ipfs", "usage")
    used, quota = usage["size_bytes"], usage["quota_bytes"]
    detail = f"{usage['detail']}; {amount(used)} of {amount(quota)} ({used / quota:.0%} of the quota)"
    if used < _FULL_QUOTA * quota:
        return Finding("content", "ok", detail)
    hint = "`pagi ipfs unpin` what you need no longer, then `pagi ipfs gc`; or raise quota_bytes in [content]."
    return Finding("content", "warn", detail, hint)


@_of_running
def check_git(call: Call, twin: Client) -> Finding:
    """The Git repository beside a playbook, if one is configured."""
    from node.config import load_config

    config = load_config(call.home / "config.toml").hive.git
    if config.url is None:
        return Finding("git", "ok", "no repository is configured")
    detail = _health(twin, "git") or "not looked at yet"
    if detail.startswith("degraded: "):
        hint = f"See `pagi playbook git {config.playbook}`; the twin goes on trying by itself."
        return Finding("git", "warn", detail.removeprefix("degraded: "), hint)
    return Finding("git", "ok", f"{config.playbook} and its repository: {detail}")


@_of_running
def check_playbooks(_: Call, twin: Client) -> Finding:
    """What others have taught, and the owner has not decided about."""
    playbooks = twin.get("playbooks", query={"limit": MAX_LIMIT})["items"]
    waiting = {row["name"]: number for row in playbooks if (number := row["revisions"].get("quarantined", 0))}
    if not waiting:
        return Finding("playbooks", "ok", "nothing waits for you")
    detail = ", ".join(f"{number} of {name}" for name, number in waiting.items())
    hint = f"`pagi playbook log {next(iter(waiting))} --status quarantined` shows what, and what to do."
    return Finding("playbooks", "warn", f"revisions that wait for you: {detail}", hint)


def answering(call: Call) -> Finding | None:
    """The model that answers in the running twin, and what it got of the machine; None if no twin runs."""
    try:
        if not (call.home / "api").exists():
            return None
        twin = call.client()
        now, detail = twin.get("models", "local", query={"limit": 1})["now"], _health(twin, "model")
    except NodeNotRunning:
        return None
    if now["loading"]:
        return Finding("model", "ok", "it is being loaded")
    if now["name"] is not None:
        return Finding("model", "ok", "; ".join((now["name"], *(now["fit"] or {}).get("why", ()))))
    if detail and not detail.startswith("degraded"):
        return Finding("model", "ok", f"{detail}; none runs on this machine")
    hint = "`pagi model list` shows what is here, `pagi model use bundled` takes the small one."
    return Finding("model", "warn", f"none answers: {now['reason']}", hint)


def _health(twin: Client, name: str) -> str:
    _, health = twin.ready()
    return str(health.get("checks", {}).get(name, {}).get("detail", ""))


RUNNING: Final[tuple[Check, ...]] = (
    *(check_network, check_dht, check_identity, check_content, check_git, check_playbooks),
)
