"""Commands of checks: small tasks with known answers, by which what others teach is tried."""

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import one_line, remark, say
from node.cli.playbook import COMMON


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("check", "tasks with known answers, by which what others teach is tried", usual="list")
    add_parser = group.add("add", "add a check", add)
    add_parser.add_argument("goal", metavar="GOAL")
    add_parser.add_argument("--expect", required=True, metavar="TEXT|/REGEX/|NUMBER", help="what the answer must hold")
    add_parser.add_argument("--playbook", metavar="NAME", default=COMMON, help=f"({COMMON})")
    list_parser = group.add("list", "list the checks", list_checks)
    list_parser.add_argument("--playbook", metavar="NAME", help="only those of this playbook")
    add_paging(list_parser)
    group.add("remove", "remove a check", remove).add_argument("check", metavar="ID")
    run_parser = group.add("run", "answer checks with the playbook as it is now", run)
    run_parser.add_argument("checks", metavar="ID", nargs="*", help="(the newest of the playbook)")
    run_parser.add_argument("--playbook", metavar="NAME", default=COMMON, help=f"({COMMON})")


def add(call: Call) -> None:
    body = {"goal": call.args.goal, "expected": call.args.expect, "playbook": call.args.playbook}
    check = call.client().post("checks", body=body)
    call.show(check, lambda: say(check["id"]))


def list_checks(call: Call) -> None:
    document = call.client().get("checks", query={**paging(call.args), "playbook": call.args.playbook})
    rows = [
        (row["id"], row["playbook"], row["origin"], one_line(row["goal"]), one_line(row["expected"], 40))
        for row in document["items"]
    ]
    empty = "No checks yet: without one that fits, what others teach is adopted by trust alone."
    call.show_list(document, ("id", "playbook", "from", "goal", "expected"), rows, empty=empty)


def remove(call: Call) -> None:
    gone = call.client().delete("checks", call.args.check)
    call.show(gone, lambda: say(f"{gone['id']} is removed"))


def run(call: Call) -> int:
    """Exit status 1 if an answer was wrong."""
    remark("The model answers; this can take some seconds for each check.")
    done = call.client().post("checks", "run", body={"playbook": call.args.playbook, "ids": call.args.checks})

    def human() -> None:
        if not done["items"]:
            say(f"There is no check of {call.args.playbook} yet: `pagi check add GOAL --expect ANSWER`.")
            return
        for row in done["items"]:
            say(f"{'right' if row['passed'] else 'WRONG'}  {row['id']}  {one_line(row['goal'])}")
        say(f"{done['passed']} of {len(done['items'])} right")

    call.show(done, human)
    return 0 if done["passed"] == len(done["items"]) else 1
