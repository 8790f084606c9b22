"""Commands of tasks: post, list, show, rate."""

import argparse
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED
from node.cli.names import labels
from node.cli.output import one_line, remark, say

POLL_S: Final = 0.25
OVER: Final = frozenset({"done", "failed", "expired"})


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("task", "give tasks to the twins of the swarm", usual="list")
    post_parser = group.add("post", "broadcast a task; everybody in the swarm can read it", post)
    post_parser.add_argument("task", metavar="TASK")
    post_parser.add_argument(
        "--require", action="append", metavar="CAPABILITY", default=[], help="what a worker must be able to do"
    )
    post_parser.add_argument(
        "--within", type=bounded(1, 7 * 86_400), default=600, metavar="S", help="the deadline, in seconds (600)"
    )
    post_parser.add_argument("--wait", action="store_true", help="wait for the result")
    add_paging(group.add("list", "list the tasks given and bid for", show_list))
    group.add("show", "show a task with its bids, result and receipt", show).add_argument("id", metavar="ID")
    rate_parser = group.add("rate", "say how good a result was; the worker gets a receipt that says so", rate)
    rate_parser.add_argument("id", metavar="ID")
    rate_parser.add_argument("quality", metavar="QUALITY", type=_quality, help="from 0 to 1")


def post(call: Call) -> int:
    args, client = call.args, call.client()
    deadline = datetime.now(UTC) + timedelta(seconds=args.within)
    body = {"task": args.task, "requirements": args.require, "deadline": deadline.isoformat(timespec="seconds")}
    document = client.post("tasks", body=body)
    if args.wait:
        seen = None
        while document["status"] not in OVER:
            if document["status"] != seen:
                seen = document["status"]
                remark(f"{seen} {document['worker'] or ''}…")
            time.sleep(POLL_S)
            document = client.get("tasks", document["id"])
    call.show(document, lambda: _show(document))
    return EXIT_FAILED if document["status"] in ("failed", "expired") else 0


def show_list(call: Call) -> None:
    document = call.client().get("tasks", query=paging(call.args))
    call.show(document, lambda: _say_list(call, document))


def _say_list(call: Call, document: dict[str, Any]) -> None:
    who = labels(call)
    rows = [
        (
            task["id"],
            "given" if task["given"] else "taken",
            task["status"],
            who(task["worker"]),
            task["deadline"],
            one_line(task["task"], 60),
        )
        for task in document["items"]
    ]
    call.show_list(document, ("id", "side", "status", "worker", "deadline", "task"), rows, empty="No task yet.")


def show(call: Call) -> None:
    document = call.client().get("tasks", call.args.id)
    call.show(document, lambda: _show(document))


def rate(call: Call) -> None:
    document = call.client().post("tasks", call.args.id, "rate", body={"quality": call.args.quality})
    call.show(document, lambda: say(f"Rated. The worker gets the receipt {document['receipt_cid']}."))


def _show(task: dict[str, Any]) -> None:
    say(f"{task['status']}  {task['id']}")
    say(f"task      {task['task']}")
    say(f"from      {task['requester']}{' (this twin)' if task['given'] else ''}")
    say(f"deadline  {task['deadline']}")
    for bid in task.get("bids", ()):
        say(f"bid       {bid['did']}  confidence {bid['confidence']:.2f}  {bid['state']}")
    if task["note"]:
        say(f"note      {task['note']}")
    if task["result"]:
        say(f"result    {task['result'].get('answer') or task['result'].get('reason')}")
    if task["receipt"]:
        quality = task["receipt"]["artifact"]["quality"]
        say(f"receipt   {task['receipt_cid']}  quality {quality:.2f}")


def _quality(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return value
