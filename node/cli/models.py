"""Commands for the models of this twin's own: model list, add, use, remove."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.cli.command import MAX_LIMIT, Call, Commands
from node.cli.output import remark, say
from node.cli.progress import amount, bytes_progress

_SOURCE = "a GGUF file, `bundled`, OWNER/REPO or OWNER/REPO:FILE of the hub, or ipfs:CID of another twin's"


def register(commands: Commands) -> None:
    """Add the group `model`."""
    group = commands.group("model", "models that run on this machine", usual="list")
    listing = group.add("list", "what is here, what answers, and how it runs", list_models)
    listing.add_argument("--limit", type=int, metavar="N", help=f"at most N models (at most {MAX_LIMIT})")
    listing.add_argument("--after", metavar="CURSOR", help="the rest of a list")
    add_parser = group.add("add", "bring a model here; run again, it goes on where it was", add)
    add_parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    add_parser.add_argument("--name", metavar="NAME", help="what it is called here (as its file is)")
    add_parser.add_argument("--sha256", metavar="HEX", help="what the file must have")
    add_parser.add_argument("--use", action="store_true", help="let it answer as soon as it is here")
    use_parser = group.add("use", "let another model answer, now and after the next start", use)
    use_parser.add_argument("name", metavar="NAME", help="a model of the list, `bundled` or `none`")
    remove_parser = group.add("remove", "forget a model; a file that was fetched goes, one of yours stays", remove)
    remove_parser.add_argument("name", metavar="NAME")


def list_models(call: Call) -> None:
    page = call.client().get("models", "local", query={"limit": call.args.limit, "after": call.args.after})
    if call.json:
        call.show(page, lambda: None)
        return
    rows = [
        (
            "*" if item["in_use"] else "",
            item["name"],
            amount(item["size_bytes"]),
            _parameters(item["parameters"]),
            item["weights"] or "-",
            item["licence"] or "not named",
            item["source"],
            _state(item),
        )
        for item in page["items"]
    ]
    call.show_list(
        page, ("", "name", "size", "parameters", "weights", "licence", "from", "state"), rows, empty="no models"
    )
    for half in page["begun"]:
        done = f"{amount(half['size_bytes'])} of {amount(half['total_bytes'])}"
        command = f"pagi model add {half['source']} --name {half['name']}"
        remark(f"{half['name']} is half here ({done}): `{command}` goes on with it.")
    _say_now(page["now"])


def add(call: Call) -> None:
    source: str = call.args.source
    path = Path(source).expanduser()
    if path.is_file():
        source = str(path.absolute())
    body = {"source": source, "name": call.args.name, "sha256": call.args.sha256}
    wanted = {key: value for key, value in body.items() if value is not None}
    added = call.client().follow("POST", "models", "local", body=wanted, on_progress=_shower(source))
    now = _use(call, added["name"]) if call.args.use else None

    def human() -> None:
        say(f"{added['name']}  {amount(added['size_bytes'])}  sha256 {added['sha256']}")
        if added["licence"] or added["licence_url"]:
            say(f"  licence {' '.join(part for part in (added['licence'], added['licence_url']) if part)}")
        if not added["capable"]:
            remark("It is too small to choose tools and to plan: it words what is found.")
        if now is None:
            remark(f"Let it answer with `pagi model use {added['name']}`.")
        else:
            _say_now(now)

    call.show(added, human)


def use(call: Call) -> None:
    now = _use(call, call.args.name)
    call.show(now, lambda: _say_now(now))


def remove(call: Call) -> None:
    removed = call.client().delete("models", "local", call.args.name)
    call.show(removed, lambda: say(f"{removed['name']} is removed."))


def _use(call: Call, name: str) -> dict[str, Any]:
    return call.client().follow("POST", "models", "local", name, "use", body={}, on_progress=_shower(name))


def _shower(title: str) -> Callable[[dict[str, Any]], None]:
    """Shows each stage of bringing a model under a title of its own."""
    shown = {"fetching": bytes_progress(f"Fetching {title}"), "checking": bytes_progress(f"Checking {title}")}

    def show(progress: dict[str, Any]) -> None:
        if report := shown.get(progress.get("stage", "")):
            report(progress["size_bytes"], progress["total_bytes"])

    return show


def _say_now(now: dict[str, Any]) -> None:
    if now["loading"]:
        say("A model is being loaded.")
    elif now["name"] is None:
        say(f"DEGRADED: no model answers: {now['reason']}")
    else:
        say(f"{now['name']} answers.")
    for why in (now["fit"] or {}).get("why", ()):
        say(f"  {why}")


def _parameters(count: int) -> str:
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.0f} million"


def _state(item: dict[str, Any]) -> str:
    if item["state"] != "here":
        return str(item["state"])
    if item["cid"]:
        return f"ipfs:{item['cid']}"
    return "not shared: " + item["share_error"] if item["share_error"] else "here"
