"""Commands of playbooks: look at them, propose a change, decide about the changes of others."""

import argparse
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from node.cli import playbook_files
from node.cli.command import MAX_LIMIT, Call, Commands, add_paging, paging
from node.cli.errors import ApiProblem, BadInput
from node.cli.inputs import read_text
from node.cli.names import did_of, labels
from node.cli.output import remark, say
from node.cli.playbook_show import say_decided, say_groups, say_log, say_playbook, say_revision

COMMON: Final = "common"
"""The playbook that every twin has."""

DEFAULT_SHARE: Final = 0.2
"""The share of the goals that a canary is tried on: one in five."""

_STATUSES: Final = ("adopted", "canary", "quarantined", "rejected")
_REVISION_UNKNOWN: Final = 40451
_CID: Final = re.compile(r"b[a-z2-7]{58,}")
"""A CID in base32; no playbook that a person named looks so."""
_BULLET: Final = re.compile(r"b[a-z2-7]{32}")
"""A bullet's id; it stands for the revision that taught it."""


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("playbook", "what the swarm has learned")
    group.add("list", "list the playbooks that are kept here, and those that could be", list_playbooks)
    follow_parser = group.add("follow", "keep a further playbook, and fetch what other twins have of it", follow)
    follow_parser.add_argument("name", metavar="NAME")
    show_parser = group.add(
        "show", "print a playbook, or what is known of a revision or of the one that taught a bullet", show
    )
    show_parser.add_argument("what", metavar="NAME|CID|ID", nargs="?", default=COMMON, help=f"({COMMON})")
    show_parser.add_argument("--name", metavar="NAME", help="the playbook of the revision")
    show_parser.add_argument("--toml", action="store_true", help="print the whole playbook as playbook.toml")
    log_parser = group.add("log", "list the revisions that are known here", log)
    _name(log_parser)
    log_parser.add_argument("--status", choices=("adopted", "canary", "quarantined", "rejected"))
    add_paging(log_parser)
    _register_propose(group.add("propose", "propose a change", propose))
    approve_parser = group.add("approve", "adopt a revision", approve)
    _cid(approve_parser)
    approve_parser.add_argument(
        "--canary",
        nargs="?",
        const=DEFAULT_SHARE,
        type=_share,
        metavar="SHARE",
        help=f"adopt it for a share of the goals first, and compare ({DEFAULT_SHARE})",
    )
    reject_parser = group.add("reject", "take a revision back, or all that an author wrote", reject)
    reject_parser.add_argument("cid", metavar="CID|ID", nargs="?", help="the revision, or a bullet that it taught")
    reject_parser.add_argument("--author", metavar="NAME|DID", help="all that this twin wrote in the playbook")
    reject_parser.add_argument("--name", metavar="NAME", help="the playbook")
    reject_parser.add_argument("--reason", default="rejected by the owner", metavar="TEXT")
    _cid(group.add("rollback", "undo what was adopted after a revision", rollback))
    duplicates_parser = group.add("duplicates", "list the bullets that say the same", duplicates)
    _name(duplicates_parser)
    add_paging(duplicates_parser)
    split_parser = group.add("split", "show two bullets by themselves from now on", split)
    split_parser.add_argument("bullets", metavar="BULLET", nargs=2)
    split_parser.add_argument("--name", metavar="NAME", default=COMMON, help=f"the playbook ({COMMON})")
    playbook_files.register(group)


def _register_propose(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--critique", required=True, metavar="TEXT", help="why")
    parser.add_argument("--add", action="append", nargs=2, metavar=("SECTION", "TEXT"), help="add a bullet")
    parser.add_argument("--remove", action="append", metavar="BULLET", help="remove a bullet")
    parser.add_argument("--helpful", action="append", metavar="BULLET", help="count a bullet as helpful")
    parser.add_argument("--harmful", action="append", metavar="BULLET", help="count a bullet as harmful")
    parser.add_argument("--set", action="append", nargs=2, metavar=("KEY", "VALUE"), help="value as JSON or text")
    parser.add_argument("--ops", metavar="FILE", help="a JSON list of operations; '-' reads stdin")
    parser.add_argument("--anyway", action="store_true", help="also if it is like one of your red lines")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default=COMMON, help=f"the playbook ({COMMON})")


def _cid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cid", metavar="CID|ID", help="the revision, or a bullet that it taught")
    parser.add_argument("--name", metavar="NAME", help="the playbook, if it is not to be looked for")


def _share(text: str) -> float:
    share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1, or a percentage")
    return share


def list_playbooks(call: Call) -> None:
    document = call.client().get("playbooks", query={"limit": MAX_LIMIT})
    rows = [
        (row["name"], row["version"], row["bullets"], *(row["revisions"].get(status, 0) for status in _STATUSES))
        for row in document["items"]
    ]
    call.show_list(document, ("name", "version", "bullets", *_STATUSES), rows, empty="No playbooks yet.")
    who = labels(call) if document["offered"] else str
    for offer in document["offered"]:
        by = ", ".join(who(did) for did in offer["by"])
        remark(f"{by} also keeps {offer['name']!r}: `pagi playbook follow {offer['name']}` has it here as well.")


def follow(call: Call) -> None:
    playbook = call.client().post("playbooks", call.args.name, "follow")
    count = len(playbook["bullets"])
    said = (
        f"Playbook {playbook['name']} is kept here from now on: version {playbook['version']}, {count} bullets so far."
    )
    call.show(playbook, lambda: say(said))


def show(call: Call) -> None:
    if _CID.fullmatch(call.args.what) or _BULLET.fullmatch(call.args.what):
        call.args.cid = call.args.what
        name = _playbook_of(call)
        revision = call.client().get("playbooks", name, "revisions", call.args.cid)
        call.show(revision, lambda: say_revision(call, revision))
        return
    playbook = call.client().get("playbooks", call.args.what)
    if call.args.toml:
        call.show(playbook, lambda: say(playbook["toml"].rstrip("\n")))
    else:
        call.show(playbook, lambda: say_playbook(call, playbook))


def log(call: Call) -> None:
    query = {**paging(call.args), "status": call.args.status, "changes": "true"}
    say_log(call, call.client().get("playbooks", call.args.name, "revisions", query=query))


def propose(call: Call) -> None:
    body = {"critique": call.args.critique, "ops": _ops(call.args), "anyway": call.args.anyway}
    proposed = call.client().post("playbooks", call.args.name, "revisions", body=body)
    call.show(proposed, lambda: _say_proposed(call.args.name, proposed["cid"]))


def approve(call: Call) -> None:
    path = ("playbooks", _playbook_of(call), "revisions", call.args.cid)
    client = call.client()
    playbook = client.post(*path, "approve", query={"share": call.args.canary})
    call.show(playbook, lambda: say_decided(call, client.get(*path), playbook))


def reject(call: Call) -> None:
    reason = call.args.reason
    if (call.args.cid is None) == (call.args.author is None):
        raise BadInput("name a revision, or an author with --author")
    if call.args.cid is not None:
        path = ("playbooks", _playbook_of(call), "revisions", call.args.cid)
        client = call.client()
        playbook = client.post(*path, "reject", body={"reason": reason})
        call.show(playbook, lambda: say_decided(call, client.get(*path), playbook))
        return
    name = call.args.name or COMMON
    body = {"author": did_of(call, call.args.author), "reason": reason}
    done = call.client().post("playbooks", name, "reject-author", body=body)
    call.show(done, lambda: _say_author_rejected(name, call.args.author, done["rejected"]))


def rollback(call: Call) -> None:
    name = _playbook_of(call)
    _show_state(call, call.client().post("playbooks", name, "rollback", body={"to": call.args.cid}))


def duplicates(call: Call) -> None:
    document = call.client().get("playbooks", call.args.name, "duplicates", query=paging(call.args))
    call.show(document, lambda: say_groups(call, document))


def split(call: Call) -> None:
    a, b = call.args.bullets
    _show_state(call, call.client().post("playbooks", call.args.name, "duplicates", "split", body={"a": a, "b": b}))


def _playbook_of(call: Call) -> str:
    """The playbook that a revision belongs to: the one that was named, else the one that knows it.

    `args.cid` may be the id of a bullet that is in effect; it becomes that of the revision. Raises BadInput.
    """
    client = call.client()
    if call.args.name is not None:
        names = [str(call.args.name)]
    else:
        known = {str(row["name"]) for row in client.get("playbooks", query={"limit": MAX_LIMIT})["items"]}
        names = sorted({COMMON} | known, key=lambda name: (name != COMMON, name))
    if _BULLET.fullmatch(call.args.cid):
        return _playbook_of_bullet(call, names)
    if call.args.name is not None:
        return names[0]
    for name in names:
        try:
            client.get("playbooks", name, "revisions", call.args.cid)
        except ApiProblem as error:
            if error.document.get("code") != _REVISION_UNKNOWN:
                raise
        else:
            return name
    return COMMON


def _playbook_of_bullet(call: Call, names: Sequence[str]) -> str:
    for name in names:
        playbook = call.client().get("playbooks", name)
        for bullet in (*playbook["bullets"], *playbook["canaries"]):
            if bullet["id"] == call.args.cid:
                call.args.cid = bullet["revision"]
                return name
    raise BadInput(f"no bullet {call.args.cid} is in effect here: `pagi playbook show` lists those that are")


def _say_proposed(name: str, cid: str) -> None:
    say(cid)
    remark(f"Adopted in {name} here, and told to other twins. `pagi playbook reject {cid}` takes it back here.")


def _say_author_rejected(name: str, author: str, number: int) -> None:
    say(f"Taken back of {name}: {number} {'revision' if number == 1 else 'revisions'} by {author}.")
    remark(f"`pagi playbook approve CID` takes one in again; `pagi trust block {author}` hears nothing more from it.")


def _show_state(call: Call, playbook: dict[str, Any]) -> None:
    call.show(
        playbook,
        lambda: say(f"{playbook['name']} is at version {playbook['version']}; bullets: {len(playbook['bullets'])}."),
    )


def _ops(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The operations of the options, after those of the file. Raises BadInput."""
    ops: list[dict[str, Any]] = []
    if args.ops:
        try:
            ops = json.loads(read_text(args.ops))
        except ValueError as error:
            raise BadInput(f"--ops: not JSON: {error}") from error
        if not isinstance(ops, list):
            raise BadInput("--ops: should be a JSON list of operations")
    ops += [{"op": "add", "section": section, "text": text} for section, text in args.add or ()]
    ops += [{"op": "remove", "id": bullet} for bullet in args.remove or ()]
    ops += [{"op": "helpful", "id": bullet} for bullet in args.helpful or ()]
    ops += [{"op": "harmful", "id": bullet} for bullet in args.harmful or ()]
    ops += [{"op": "set", "key": key, "value": _value(text)} for key, text in args.set or ()]
    if not ops:
        raise BadInput("nothing to propose: give --add, --remove, --helpful, --harmful, --set or --ops")
    return ops


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
