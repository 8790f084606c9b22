"""Commands of playbooks: show, log, propose, approve, reject, rollback."""

import argparse
import json
from typing import Any, Final

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.errors import BadInput
from node.cli.inputs import read_text
from node.cli.names import labels
from node.cli.output import one_line, remark, say

COMMON: Final = "common"
"""The playbook that every twin has."""


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("playbook", "what the swarm has learned")
    _name(group.add("show", "print a playbook as playbook.toml", show))
    log_parser = group.add("log", "list the revisions that are known here", log)
    _name(log_parser)
    log_parser.add_argument("--status", choices=("adopted", "quarantined", "rejected"))
    add_paging(log_parser)
    propose_parser = group.add("propose", "propose a change", propose)
    _name(propose_parser)
    propose_parser.add_argument("--critique", required=True, metavar="TEXT", help="why")
    propose_parser.add_argument("--add", action="append", nargs=2, metavar=("SECTION", "TEXT"), help="add a bullet")
    propose_parser.add_argument("--remove", action="append", metavar="BULLET", help="remove a bullet")
    propose_parser.add_argument("--helpful", action="append", metavar="BULLET", help="count a bullet as helpful")
    propose_parser.add_argument("--harmful", action="append", metavar="BULLET", help="count a bullet as harmful")
    propose_parser.add_argument(
        "--set", action="append", nargs=2, metavar=("KEY", "VALUE"), help="value as JSON or text"
    )
    propose_parser.add_argument("--ops", metavar="FILE", help="a JSON list of operations; '-' reads stdin")
    approve_parser = group.add("approve", "adopt a revision", approve)
    _cid(approve_parser)
    reject_parser = group.add("reject", "do not adopt a revision", reject)
    _cid(reject_parser)
    reject_parser.add_argument("--reason", default="rejected by the owner", metavar="TEXT")
    _cid(group.add("rollback", "undo what was adopted after a revision", rollback))


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default=COMMON, help=f"the playbook ({COMMON})")


def _cid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cid", metavar="CID", help="the revision")
    parser.add_argument("--name", metavar="NAME", default=COMMON, help=f"the playbook ({COMMON})")


def show(call: Call) -> None:
    playbook = call.client().get("playbooks", call.args.name)
    call.show(playbook, lambda: say(playbook["toml"].rstrip("\n")))


def log(call: Call) -> None:
    query = {**paging(call.args), "status": call.args.status}
    document = call.client().get("playbooks", call.args.name, "revisions", query=query)
    call.show(document, lambda: _say_log(call, document))


def _say_log(call: Call, document: dict[str, Any]) -> None:
    who = labels(call)
    rows = [
        (
            *(row["height"], row["cid"], row["status"], row["ts"], who(row["author"])),
            *(one_line(row["critique"]), row["reason"]),
        )
        for row in document["items"]
    ]
    columns = ("height", "revision", "status", "made", "author", "critique", "reason")
    call.show_list(document, columns, rows, empty="No revisions yet.")
    if any(row["status"] == "quarantined" for row in document["items"]):
        remark("A quarantined revision waits for you: `pagi playbook approve CID` adopts it, `reject` does not.")


def propose(call: Call) -> None:
    body = {"critique": call.args.critique, "ops": _ops(call.args)}
    proposed = call.client().post("playbooks", call.args.name, "revisions", body=body)
    call.show(proposed, lambda: say(proposed["cid"]))


def approve(call: Call) -> None:
    _show_state(call, call.client().post("playbooks", call.args.name, "revisions", call.args.cid, "approve"))


def reject(call: Call) -> None:
    body = {"reason": call.args.reason}
    _show_state(call, call.client().post("playbooks", call.args.name, "revisions", call.args.cid, "reject", body=body))


def rollback(call: Call) -> None:
    _show_state(call, call.client().post("playbooks", call.args.name, "rollback", body={"to": call.args.cid}))


def _show_state(call: Call, playbook: dict[str, Any]) -> None:
    call.show(
        playbook,
        lambda: say(f"{playbook['name']} is at version {playbook['version']}, state {playbook['state_hash']}"),
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
