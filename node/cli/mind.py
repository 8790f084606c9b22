"""Commands that give the twin a goal: ask, chat; jobs, what became of them; and rate, what the owner says of them."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED
from node.cli.output import one_line, remark, say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    ask_parser = commands.add("ask", "give a goal, and see the steps and the answer", ask)
    ask_parser.add_argument("goal", metavar="GOAL")
    ask_parser.add_argument("--session", metavar="ID", help="continue a conversation")
    ask_parser.add_argument("--max-steps", type=bounded(1, 64), default=8, metavar="N")
    ask_parser.add_argument("--plan", action="store_true", help="only show the steps that it would take")
    chat_parser = commands.add("chat", "talk with the twin; an empty line or Ctrl-D ends it", chat)
    chat_parser.add_argument("--session", metavar="ID", help="continue a conversation")
    jobs_parser = commands.add("jobs", "list the jobs, or show one with its log", jobs)
    jobs_parser.add_argument("id", metavar="ID", nargs="?")
    add_paging(jobs_parser, default=20)
    rate_parser = commands.add("rate", "say how a job went, so that the twin learns from it", rate)
    rate_parser.add_argument("id", metavar="ID", help="as `pagi ask` and `pagi jobs` show it")
    rate_parser.add_argument("rating", choices=("good", "bad"))


def ask(call: Call) -> int:
    args = call.args
    if args.plan:
        planned = call.client().post("plan", body={"goal": args.goal})
        call.show(planned, lambda: _say_steps(planned))
        return 0
    outcome = _interact(call, args.goal, args.session, args.max_steps)

    def human() -> None:
        _say_steps(outcome)
        say()
        _say_answer(outcome)
        if outcome["reflection"]:
            say()
            say(f"Learned: {outcome['reflection']}")
        remark(f"How was it? `pagi rate {outcome['job_id']} good`, or `bad`.")

    call.show(outcome, human)
    return 0 if outcome["status"] == "done" else EXIT_FAILED


def chat(call: Call) -> None:
    import uuid

    session_id = call.args.session or str(uuid.uuid4())
    if not call.json:
        remark(f"Session {session_id}. An empty line or Ctrl-D ends it.")
    while goal := _next_line():
        outcome = _interact(call, goal, session_id, 8)
        call.show(outcome, lambda outcome=outcome: _say_answer(outcome))  # type: ignore[misc]


def jobs(call: Call) -> None:
    if call.args.id is not None:
        _show_job(call)
        return
    document = call.client().get("jobs", query=paging(call.args))
    rows = [(job["id"], job["created"], job["status"], one_line(job["goal"])) for job in document["items"]]
    call.show_list(document, ("id", "created", "status", "goal"), rows, empty="No jobs yet.")


def rate(call: Call) -> None:
    rated = call.client().post("jobs", call.args.id, "rate", body={"rating": call.args.rating})
    given = sum(use["use"] != "kept_back" for use in rated["bullets"])
    call.show(rated, lambda: say(f"Noted: {call.args.rating}, for the {given} playbook bullets that it was given."))


def _show_job(call: Call) -> None:
    client = call.client()
    job = client.get("jobs", call.args.id)
    log = client.get("jobs", call.args.id, "log")["items"]

    def human() -> None:
        say(f"{job['id']}  {job['status']}  {job['created']}")
        say(f"Goal: {job['goal']}")
        _say_steps(job)
        for line in log:
            say(f"  {line['ts']}  {line['level']:<6}  {one_line(line['text'], 100)}")
        if job["answer"]:
            say(job["answer"])
        if guidance := job["guidance"]:
            given = [use["bullet"] for use in guidance["bullets"] if use["use"] != "kept_back"]
            said = "you say" if guidance["source"] == "owner" else "it ended"
            bullets = ", ".join(given) or "nothing"
            say(f"Playbook {guidance['playbook']} gave it {bullets} ({said}: {guidance['outcome']}).")

    call.show({**job, "log": log}, human)


def _interact(call: Call, goal: str, session_id: str | None, max_steps: int) -> dict[str, Any]:
    return call.client().post("interact", body={"goal": goal, "session_id": session_id, "max_steps": max_steps})


def _next_line() -> str:
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.readline().strip()


def _say_steps(document: Mapping[str, Any]) -> None:
    for step in document["steps"]:
        say(f"{step['n']}. {step['action']}  {one_line(_members(step['input']))}  ({step['ms']:.0f} ms)")
        if step["output"]:
            say(f"   → {one_line(_members(step['output']), 100)}")


def _say_answer(outcome: Mapping[str, Any]) -> None:
    if outcome["status"] != "done":
        say(f"[{outcome['status']}]")
    if outcome.get("degraded"):
        remark("Degraded: no capable model took part in this answer.")
    say(outcome["answer"])


def _members(document: Mapping[str, Any]) -> str:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in document.items()
    }
    return ", ".join(f"{name}: {text}" for name, text in texts.items())
