"""Watching a job at a terminal or in a log: its steps and its answer as they come, and what the owner is asked.

Ctrl-C asks whether the job is to go on without anybody watching; where nobody can be asked, and the second time, it
cancels.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from node.cli.command import Call
from node.cli.errors import ApiProblem
from node.cli.output import fail, one_line, remark, safe, say

ENDS: Final = frozenset({"done", "refused", "failed", "throttled", "cancelled"})


def watch(call: Call, job_id: str, *, steps: bool = True) -> dict[str, Any]:
    """Show a job until it has ended, or waits for a decision that cannot be made here; the job, as `GET` gives it."""
    watching = _Watching(call, job_id, steps=steps)
    try:
        watching.run()
    except KeyboardInterrupt:
        say()
        if _goes_on():
            remark(f"It goes on. `pagi jobs follow {job_id}` shows it again, `pagi jobs cancel {job_id}` ends it.")
        else:
            call.client().post("jobs", job_id, "cancel")
            remark("Cancelled.")
    return call.client().get("jobs", job_id)


def say_step(step: Mapping[str, Any], *, indent: str = "") -> None:
    """A step that has ended, and what came of it: of records how many there are, for `pagi jobs ID --json` has them."""
    say(f"{indent}{step['n']}. {step['action']}  {one_line(members(step['input']))}  ({step['ms']:.0f} ms)")
    if step["output"]:
        came = {name: len(one) if _are_records(one) else one for name, one in step["output"].items()}
        say(f"{indent}   → {one_line(members(came), 100)}")


def _are_records(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def members(document: Mapping[str, Any]) -> str:
    """A JSON object as one line for a person."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in document.items()
    }
    return ", ".join(f"{name}: {text}" for name, text in texts.items())


def how_to_decide(approval: Mapping[str, Any]) -> str:
    """What to type elsewhere to decide."""
    if approval["kind"] == "question":
        return f"Answer it with `pagi approvals answer {approval['id']} TEXT`."
    return f"Decide with `pagi approvals approve {approval['id']}`, or `deny`."


def ask_owner(call: Call, approval: Mapping[str, Any]) -> bool:
    """Have the person decide here and now; False if they do not want to yet, or cannot be asked."""
    remark(f"\n{'It asks' if approval['kind'] == 'question' else 'It waits for you'}: {approval['summary']}")
    if not _can_ask():
        remark(how_to_decide(approval))
        return False
    if approval["kind"] == "question":
        answer = _line("Your answer (empty: not now): ")
        body = {"decision": "approve", "note": answer} if answer else None
    else:
        answer = _line("[y]es, [n]o, [l]ater: ").lower()
        body = {"y": {"decision": "approve"}, "n": {"decision": "deny"}}.get(answer[:1])
    if body is None:
        remark(how_to_decide(approval))
        return False
    try:
        call.client().post("approvals", approval["id"], body=body)
    except ApiProblem as error:  # decided elsewhere, or too late: the job goes on by that
        fail(error, as_json=False)
    return True


class _Watching:
    def __init__(self, call: Call, job_id: str, *, steps: bool) -> None:
        self._call = call
        self._job_id = job_id
        self._steps = steps
        self._shown: set[tuple[str, int]] = set()
        self._text = ""
        self._answered = False

    def run(self) -> None:
        for kind, data in self._call.client().events("jobs", self._job_id, "events"):
            if kind == "step" and data["output"] is not None:
                self._step(data)
            elif kind == "text":
                self._piece(data)
            elif kind == "end" and data["job_id"] == self._job_id:
                if data["status"] == "done" and not self._answered:
                    self._whole(data["answer"])  # it had ended before anybody watched
            elif kind == "approval" and not ask_owner(self._call, data):
                return
            elif kind == "status" and data["status"] == "paused":
                remark(f"It is paused: `pagi jobs resume {self._job_id}` lets it go on.")
                return

    def _step(self, step: Mapping[str, Any]) -> None:
        key = (step["job_id"], step["n"])
        if self._steps and key not in self._shown and step["action"] != "respond":
            self._shown.add(key)
            say_step(step, indent="" if step["job_id"] == self._job_id else "   ")

    def _piece(self, data: Mapping[str, Any]) -> None:
        """Pieces as they come for a person; a log, and whoever pipes it on, gets the answer whole."""
        if data["job_id"] != self._job_id:
            return
        if not data.get("whole"):
            if sys.stdout.isatty():
                sys.stdout.write(safe(data["text"]))
                sys.stdout.flush()
                self._text += data["text"]
            return
        self._answered = True
        self._whole(data["text"])

    def _whole(self, whole: str) -> None:
        """The rest of the answer; where its pieces were not it, the whole on lines of its own."""
        told = self._text
        rest = whole[len(told) :] if whole.startswith(told) else ("\n" if told else "") + whole
        say(rest)
        self._text = ""


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _goes_on() -> bool:
    """Whether the job is to go on; a second Ctrl-C says no."""
    try:
        return _can_ask() and _yes("Leave it running? [Y/n] ", usually=True)
    except KeyboardInterrupt:
        say()
        return False


def _line(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _yes(prompt: str, *, usually: bool) -> bool:
    answer = _line(prompt).lower()
    return usually if not answer else answer.startswith("y")
