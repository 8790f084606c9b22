"""Commands of learning: what the twin changed or would change by itself, lessons from feedback, traces to train on."""

from pathlib import Path
from typing import Any

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.output import one_line, remark, say
from node.cli.playbook import COMMON
from storage.files import atomic_write

TENSE = {"proposed": "Would do", "declined": "Would have done", "failed": "Could not do"}

CURATED = "only what is known to be good, or was corrected"


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group(
        "learning", "what the twin learns from many goals, and takes back if you say so", usual="list"
    )
    add_paging(group.add("list", "list what it changed, and what it would change", list_actions))
    for name, summary, handler in (
        ("show", "show one action with its figures", show),
        ("approve", "let it do what it proposed", approve),
        ("decline", "leave what it proposed", decline),
        ("undo", "take back what it did", undo),
    ):
        group.add(name, summary, handler).add_argument("id", metavar="ID")
    group.add("look", "look now for what could be better", look)
    improve_parser = group.add("improve", "learn now from the feedback that waits", improve)
    improve_parser.add_argument("--playbook", metavar="NAME", default=COMMON, help=f"({COMMON})")
    export_parser = group.add("export", "write traces of jobs for fine-tuning, without secrets", export)
    export_parser.add_argument("file", metavar="FILE", type=Path)
    export_parser.add_argument("--curated", action="store_true", help=CURATED)


def list_actions(call: Call) -> None:
    document = call.client().get("learning", query=paging(call.args))
    rows = [
        (row["id"], row["updated"], row["case"], row["state"], one_line(row["action"])) for row in document["items"]
    ]
    empty = "Nothing yet: the twin looks every few minutes." if document["mode"] != "off" else "It is off."
    call.show_list(document, ("id", "updated", "case", "state", "action"), rows, empty=empty)


def show(call: Call) -> None:
    action = call.client().get("learning", call.args.id)
    call.show(action, lambda: _say(action))


def approve(call: Call) -> None:
    _decide(call, "approve")


def decline(call: Call) -> None:
    _decide(call, "decline")


def undo(call: Call) -> None:
    _decide(call, "undo")


def look(call: Call) -> None:
    looked = call.client().post("learning", "look")

    def human() -> None:
        for action in looked["items"]:
            _say(action)
        if not looked["items"]:
            say("Nothing that could be told from what is known so far.")

    call.show(looked, human)


def improve(call: Call) -> None:
    remark("The model writes rules and tries them; this can take minutes.")
    learnt = call.client().post("learning", "improve", body={"playbook": call.args.playbook})

    def human() -> None:
        for rule in learnt["kept"]:
            where = f"revision {rule['revision']}" if rule["revision"] else "for this twin alone"
            say(f"+ {rule['rule']}\n  {rule['mended']} of {rule['failures']} wrong answers are right with it; {where}")
        for why, count in learnt["dropped"].items():
            say(f"- {count} dropped: {why}")
        if learnt["why"]:
            say(f"Nothing more: {learnt['why']}.")
        elif not learnt["failures"]:
            say("No feedback waits. Give some with `pagi rate ID bad --right ANSWER --because TEXT`.")

    call.show(learnt, human)


def export(call: Call) -> None:
    data = call.client().get_bytes("learning", "export", query={"curated": str(call.args.curated).lower()})
    atomic_write(call.args.file, data, 0o600)
    written = {"file": str(call.args.file), "traces": data.count(b"\n")}
    call.show(written, lambda: say(f"{written['traces']} traces are in {written['file']}."))


def _decide(call: Call, what: str) -> None:
    action = call.client().post("learning", call.args.id, what)
    call.show(action, lambda: _say(action))


def _say(action: dict[str, Any]) -> None:
    say(f"{action['id']}  {action['case']}  {action['state']}  {action['updated']}")
    say(f"  Found: {action['finding']}")
    say(f"  {TENSE.get(action['state'], 'Did')}: {action['action']}")
    if action["measured"]:
        say(f"  Figures: {', '.join(f'{name} {value:g}' for name, value in action['measured'].items())}")
    if action["state"] == "proposed":
        remark(f"`pagi learning approve {action['id']}`, or `decline`.")
