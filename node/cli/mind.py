"""Commands that give the twin a goal: ask; jobs, what became of them; and rate, what the owner says of them."""

from collections.abc import Mapping
from typing import Any

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED, BadInput
from node.cli.output import one_line, remark, say
from node.cli.watching import ENDS, say_step, watch


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    ask_parser = commands.add("ask", "give a goal, and see the steps and the answer", ask)
    ask_parser.add_argument("goal", metavar="GOAL")
    ask_parser.add_argument("--session", metavar="ID", help="continue a conversation")
    ask_parser.add_argument("--max-steps", type=bounded(1, 64), default=8, metavar="N")
    ask_parser.add_argument("--plan", action="store_true", help="only show the steps that it would take")
    ask_parser.add_argument("--deadline", type=float, metavar="SECONDS", help="give it up after so long")
    ask_parser.add_argument("--background", action="store_true", help="do not wait: print the job's id")
    jobs_parser = commands.add("jobs", "list the jobs; show, follow, cancel, pause, resume or forget one", jobs)
    jobs_parser.add_argument("what", metavar="ID|follow|cancel|pause|resume|forget", nargs="?")
    jobs_parser.add_argument("id", metavar="ID", nargs="?")
    jobs_parser.add_argument("--older", type=float, metavar="DAYS", help="forget all that ended so many days ago")
    add_paging(jobs_parser, default=20)
    rate_parser = commands.add("rate", "say how a job went, so that the twin learns from it", rate)
    rate_parser.add_argument("id", metavar="ID", help="as `pagi ask` and `pagi jobs` show it")
    rate_parser.add_argument("rating", choices=("good", "bad"))
    rate_parser.add_argument("--right", metavar="TEXT|NUMBER|/REGEX/", help="what a right answer holds")
    rate_parser.add_argument("--because", metavar="TEXT", help="how the right answer comes about")
    rate_parser.add_argument(
        "--share", action="store_true", default=None, help="others may read the lesson, in the playbook"
    )


def ask(call: Call) -> int:
    args = call.args
    if args.plan:
        planned = call.client().post("plan", body={"goal": args.goal})
        call.show(planned, lambda: _say_plan(planned))
        return 0
    body = {"goal": args.goal, "session_id": args.session, "max_steps": args.max_steps, "deadline_s": args.deadline}
    if args.background:
        job = call.client().post("jobs", body=body)
        call.show(job, lambda: say(f"{job['id']}  {job['status']}: `pagi jobs follow {job['id']}` shows it."))
        return 0
    if call.json:
        outcome = call.client().post("interact", body=body)
        call.show(outcome, lambda: None)
        return _status(outcome)
    return _watched(call, call.client().post("jobs", body=body)["id"])


def jobs(call: Call) -> int:
    what, job_id = call.args.what, call.args.id
    if what is None:
        document = call.client().get("jobs", query=paging(call.args))
        rows = [
            (job["id"], job["created"], job["status"], f"{job['progress']:.0%}", one_line(job["goal"]))
            for job in document["items"]
        ]
        call.show_list(document, ("id", "created", "status", "done", "goal"), rows, empty="No jobs yet.")
        return 0
    if what == "forget":
        return _forget(call, job_id)
    if job_id is None:
        _show_job(call, what)
        return 0
    if what == "follow" and not call.json:
        return _watched(call, job_id)
    if what not in ("follow", "cancel", "pause", "resume"):
        raise BadInput(f"there is no `pagi jobs {what} ID`: follow, cancel, pause, resume and forget are")
    client = call.client()
    outcome = client.get("jobs", job_id) if what == "follow" else client.post("jobs", job_id, what)
    call.show(outcome, lambda: say(f"{job_id}  {outcome['status']}"))
    return 0


def _forget(call: Call, job_id: str | None) -> int:
    older = call.args.older
    if (job_id is None) == (older is None):
        raise BadInput("name a job to forget, or give `--older DAYS`")
    client = call.client()
    gone = (
        client.delete("jobs", job_id) if job_id is not None else client.delete("jobs", query={"older_than_days": older})
    )
    call.show(gone, lambda: say(f"Forgotten: {gone['forgotten']}. What was said and learnt is still remembered."))
    return 0


def _say_plan(planned: Mapping[str, Any]) -> None:
    for step in planned["steps"]:
        say_step(step)


def _watched(call: Call, job_id: str) -> int:
    """Show a job as it is worked on, and at its end what there is to say of it."""
    job = watch(call, job_id)
    if job["status"] in ENDS - {"done"} or job["status"] == "paused":
        say(f"[{job['status']}] {job['answer'] or ''}")
    if job["degraded"]:
        remark(f"Degraded: {job['degraded']}.")
    if job["status"] == "refused":
        remark(f"Was it wrong to refuse this? `pagi rate {job_id} bad` says so.")
    if job["status"] == "done":
        remark(f"How was it? `pagi rate {job_id} good`, or `bad`.")
    return _status(job)


def _status(outcome: Mapping[str, Any]) -> int:
    return 0 if outcome["status"] == "done" else EXIT_FAILED


def rate(call: Call) -> None:
    said = {"expected": call.args.right, "because": call.args.because, "share": call.args.share}
    body = {"rating": call.args.rating, **{name: value for name, value in said.items() if value is not None}}
    rated = call.client().post("jobs", call.args.id, "rate", body=body)
    given = sum(use["use"] != "kept_back" for use in rated["bullets"])
    is_refused = call.args.right is not None and call.client().get("jobs", call.args.id)["status"] == "refused"

    def human() -> None:
        say(f"Noted: {call.args.rating}, for the {given} playbook bullets that it was given.")
        if is_refused:
            remark("It was refused, and a refusal teaches nothing: what is right was not kept.")
        elif call.args.right is not None and call.args.rating == "bad":
            remark("A capable model makes a rule of what is right, from a few such answers: `pagi learning improve`.")

    call.show(rated, human)


def _show_job(call: Call, job_id: str) -> None:
    client = call.client()
    job = client.get("jobs", job_id)
    log = client.get("jobs", job_id, "log")["items"]

    def human() -> None:
        say(f"{job['id']}  {job['status']}  {job['created']}  {job['progress']:.0%} {job['doing']}".rstrip())
        say(f"Goal: {job['goal']}")
        for step in job["steps"]:
            say_step(step)
        for line in log:
            say(f"  {line['ts']}  {line['level']:<6}  {one_line(line['text'], 100)}")
        if job["answer"]:
            say(job["answer"])
        if job["degraded"]:
            say(f"Degraded: {job['degraded']}.")
        if job["reflection"]:
            say(f"Learned: {job['reflection']}")
        if guidance := job["guidance"]:
            given = [use["bullet"] for use in guidance["bullets"] if use["use"] != "kept_back"]
            said = "you say" if guidance["source"] == "owner" else "it ended"
            bullets = ", ".join(given) or "nothing"
            say(f"Playbook {guidance['playbook']} gave it {bullets} ({said}: {guidance['outcome']}).")

    call.show({**job, "log": log}, human)
