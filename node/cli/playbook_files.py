"""Commands of playbooks as files: import, export, and the Git repository beside one: pull, push, git."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.cli.command import Call, Commands
from node.cli.errors import FileUnreadable
from node.cli.inputs import read_bytes
from node.cli.output import one_line, remark, say

COMMON: Final = "common"
"""The playbook that every twin has."""


def register(group: Commands) -> None:
    """Add the commands to the group `playbook`."""
    import_parser = group.add("import", "take a playbook.toml or a refinement artifact in", import_file)
    import_parser.add_argument("file", metavar="FILE", help="TOML or JSON; '-' reads stdin")
    import_parser.add_argument("--name", metavar="NAME", help=f"the playbook (the artifact's, or {COMMON})")
    import_parser.add_argument("--critique", metavar="TEXT", help="why (the artifact's)")
    import_parser.add_argument("--dry-run", action="store_true", help="show what it would change, and change nothing")
    import_parser.add_argument("--anyway", action="store_true", help="also if it is like one of your red lines")
    export_parser = group.add("export", "write a playbook as playbook.toml, or a revision as an artifact", export_file)
    _name(export_parser)
    export_parser.add_argument("--artifact", metavar="CID", help="the revision, as a refinement artifact")
    export_parser.add_argument("--form", choices=("toml", "json"), default="toml", help="(toml)")
    export_parser.add_argument("--output", "-o", metavar="FILE", help="write it there instead of to stdout")
    _name(group.add("pull", "take in what people merged in the Git repository", pull))
    _name(group.add("push", "push what this twin learnt to the Git repository, for review", push))
    _name(group.add("git", "how the Git repository beside a playbook is doing", git))


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default=COMMON, help=f"the playbook ({COMMON})")


def import_file(call: Call) -> None:
    args = call.args
    taken = call.client().upload(
        *("playbooks", "import"),
        body=[data := read_bytes(args.file)],
        size_bytes=len(data),
        content_type="application/json" if data.lstrip()[:1] == b"{" else "application/toml",
        query={
            "name": args.name,
            "critique": args.critique,
            "dry_run": "true" if args.dry_run else None,
            "anyway": "true" if args.anyway else None,
        },
    )
    call.show(taken, lambda: _say_taken(call, taken, dry_run=args.dry_run))


def _say_taken(call: Call, taken: dict[str, Any], *, dry_run: bool) -> None:
    if dry_run and taken["ops"]:
        playbook = call.client().get("playbooks", taken["playbook"])
        texts = {bullet["id"]: f"[{bullet['section']}] {bullet['text']}" for bullet in playbook["bullets"]}
        for op in taken["ops"]:
            say(_told(op, texts))
    for note in taken["notes"]:
        remark(f"Note: {note}.")
    changes = f"{len(taken['ops'])} {'change' if len(taken['ops']) == 1 else 'changes'} of {taken['playbook']}"
    if not taken["ops"]:
        remark(f"{taken['playbook']} says all that already.")
    elif dry_run:
        remark(f"{changes}; nothing was changed. Without --dry-run it would be.")
    else:
        for cid in taken["revisions"]:
            say(cid)
        remark(f"{changes}. `pagi playbook reject CID` takes them back.")


def _told(op: dict[str, Any], texts: Mapping[str, str]) -> str:
    """One operation in one line; `texts` are those of the bullets that there are, by id."""
    match op["op"]:
        case "add":
            return f"+ [{op['section']}] {op['text']}"
        case "remove":
            return f"- {texts.get(op['id'], op['id'])}"
        case "set":
            return f"setting {op['key']}: {_value(op['value'])}"
        case "tool":
            return f"tool {op['name']}: {_value(op['meta'])}"
        case "template":
            return f"template {op['name']}: {_value(op['body'])}"
        case _:
            return f"metric {op['name']}: one observation of {op['sum']:g}"


def _value(value: object) -> str:
    return "taken out" if value is None else one_line(value)


def export_file(call: Call) -> None:
    args = call.args
    query = {"artifact": args.artifact, "form": args.form}
    with call.client().download("playbooks", args.name, "export", query=query) as pieces:
        data = b"".join(pieces)
    if args.output is None:
        call.show(
            {"name": args.name, "form": args.form, "text": data.decode()}, lambda: say(data.decode().rstrip("\n"))
        )
        return
    path = Path(args.output).expanduser()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise FileUnreadable(f"cannot write {path}: {error.strerror or error}") from error
    call.show({"name": args.name, "form": args.form, "file": str(path)}, lambda: say(path))


def pull(call: Call) -> None:
    pulled = call.client().post("playbooks", call.args.name, "pull")
    call.show(pulled, lambda: _say_pulled(pulled))


def _say_pulled(pulled: dict[str, Any]) -> None:
    for cid in pulled["revisions"]:
        say(cid)
    for problem in pulled["problems"]:
        remark(f"Not taken: {problem}")
    count = len(pulled["revisions"])
    news = "nothing new" if not count else f"{count} new {'revision' if count == 1 else 'revisions'}"
    remark(f"{_short(pulled['commit'])}: {news}.")


def _short(commit: str) -> str:
    """A commit's id as Git's own tools shorten it."""
    return commit[:12]


def push(call: Call) -> None:
    pushed = call.client().post("playbooks", call.args.name, "push")

    def human() -> None:
        if pushed["branch"] is None:
            remark("Nothing new to push.")
        else:
            say(pushed["branch"])
            remark("Review it and merge it in the repository; the twin takes in what was merged.")

    call.show(pushed, human)


def git(call: Call) -> None:
    status = call.client().get("playbooks", call.args.name, "git")

    def human() -> None:
        say(f"{status['url']}, branch {status['base_branch']}")
        say(f"pulled  {status['pulled'] or 'never'}{' at ' + _short(status['commit']) if status['commit'] else ''}")
        say(f"pushed  {status['pushed'] or 'never'}{' to ' + status['branch'] if status['branch'] else ''}")
        for problem in status["problems"]:
            remark(f"Not taken: {problem}")
        if status["failing"]:
            remark(f"The last attempt failed: {status['failing']}")

    call.show(status, human)
