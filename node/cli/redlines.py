"""Commands of red lines: what nobody may suggest to this twin."""

import re
from typing import Any, Final

from node.cli.command import MAX_LIMIT, Call, Commands
from node.cli.inputs import read_text
from node.cli.output import say

_PATTERN: Final = re.compile(r"/(.+)/")


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("redlines", "what nobody may suggest to this twin", usual="list")
    group.add("list", "list the red lines", list_lines)
    add_parser = group.add("add", "add a phrase, a /regular expression/ or, with --meaning, a sentence", add)
    add_parser.add_argument("text", metavar="TEXT")
    add_parser.add_argument("--meaning", action="store_true", help="also what says about the same in other words")
    group.add("remove", "take a red line off the list", remove).add_argument("line", metavar="ID")
    test_parser = group.add("test", "say which red lines a text crosses", test)
    test_parser.add_argument("text", metavar="TEXT", help="'-' reads stdin")


def list_lines(call: Call) -> None:
    document = call.client().get("red-lines", query={"limit": MAX_LIMIT})
    rows = [(line["id"], line["kind"], line["text"]) for line in document["items"]]
    call.show_list(document, ("id", "kind", "red line"), rows, empty="There are no red lines.")


def add(call: Call) -> None:
    body = {"kind": "phrase", "text": call.args.text}
    if call.args.meaning:
        body["kind"] = "meaning"
    elif match := _PATTERN.fullmatch(call.args.text):
        body = {"kind": "pattern", "text": match[1]}
    line = call.client().post("red-lines", body=body)
    call.show(line, lambda: say(f"{line['id']}: what was taught before is judged by it too"))


def remove(call: Call) -> None:
    gone = call.client().delete("red-lines", call.args.line)
    call.show(gone, lambda: say(f"{gone['id']} is off the list"))


def test(call: Call) -> int:
    """Exit status 1 if a line is crossed, as grep has it the other way round: nothing found is well."""
    text = read_text("-") if call.args.text == "-" else call.args.text
    hits = call.client().post("red-lines", "test", body={"text": text})
    call.show(hits, lambda: _say_hits(hits["items"]))
    return 1 if hits["items"] else 0


def _say_hits(hits: list[dict[str, Any]]) -> None:
    for hit in hits:
        how = "crosses" if hit["likeness"] is None else f"is like ({hit['likeness']:.2f})"
        say(f"It {how} {hit['id']}: {hit['text']}")
    if not hits:
        say("It crosses none of your red lines.")
