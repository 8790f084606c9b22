"""`pagi chat`: talking with the twin. The conversation goes on where it was, unless another is begun."""

import sys
import uuid
from contextlib import suppress
from typing import Any, Final

from identity.errors import PagiError
from node.cli.command import Call, Commands
from node.cli.output import fail, print_json, remark, say
from node.cli.watching import ENDS, watch

PREFIX: Final = "chat-"
"""Of the sessions that this command begins: those of programs are not taken up here."""

_HELP: Final = "/new begins anew, /forget forgets this conversation, /rate good|bad rates the last answer, /quit ends."


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("chat", "talk with the twin; /quit or Ctrl-D ends it", chat)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--session", metavar="ID", help="continue this conversation")
    which.add_argument("--new", action="store_true", help="begin a new one")


def chat(call: Call) -> None:
    talk = _Talk(call)
    if not call.json:
        remark(f"{talk.greeting()} {_HELP}")
    while (said := _next_line()) not in (None, "/quit"):
        if not said:
            continue  # what is pasted may have empty lines
        try:
            talk.take(said)
        except PagiError as error:
            if not sys.stdin.isatty():
                raise
            fail(error, as_json=call.json)


class _Talk:
    def __init__(self, call: Call) -> None:
        self._call = call
        self._last_job: str | None = None
        self._told_degraded = False
        self._resumed = call.args.session is not None
        self._session = call.args.session or self._latest() or _new_session()

    def greeting(self) -> str:
        """What is told first."""
        return "Your conversation goes on." if self._resumed else "A new conversation."

    def take(self, said: str) -> None:
        """One line of the person: a command, or words for the twin."""
        command, _, rest = said.partition(" ")
        match command:
            case "/new":
                self._session = _new_session()
                remark("A new conversation.")
            case "/forget":
                done = self._call.client().post("memory", "forget", body={"session_id": self._session})
                self._show(done, "Forgotten.")
            case "/rate" if self._last_job and rest in ("good", "bad"):
                rated = self._call.client().post("jobs", self._last_job, "rate", body={"rating": rest})
                self._show(rated, f"Noted: {rest}.")
            case _ if command.startswith("/"):
                remark(_HELP)
            case _:
                self._say(said)

    def _say(self, said: str) -> None:
        body = {"goal": said, "session_id": self._session}
        if self._call.json:
            outcome = self._call.client().post("interact", body=body)
            self._last_job = outcome["job_id"]
            print_json(outcome)
            return
        self._last_job = self._call.client().post("jobs", body=body)["id"]
        job = watch(self._call, self._last_job, steps=False)
        if job["status"] in ENDS - {"done"}:
            remark(f"[{job['status']}] {job['answer'] or ''}")
        if job["status"] == "refused":
            remark("Was it wrong to refuse this? `/rate bad` says so.")
        if job["degraded"] and not self._told_degraded:
            remark(f"Degraded: {job['degraded']}.")
            self._told_degraded = True

    def _latest(self) -> str | None:
        """The conversation that was last used."""
        if self._call.args.new:
            return None
        sessions = self._call.client().get("memory", "sessions", query={"limit": 50})["items"]
        found = next((item["session_id"] for item in sessions if item["session_id"].startswith(PREFIX)), None)
        self._resumed = found is not None
        return found

    def _show(self, document: dict[str, Any], text: str) -> None:
        self._call.show(document, lambda: say(text))


def _new_session() -> str:
    return f"{PREFIX}{uuid.uuid4()}"


def _next_line() -> str | None:
    """What the person says next, without the spaces around it; None at the end. Ctrl-C at a terminal says nothing."""
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        if at_terminal:
            with suppress(ImportError):  # there is none on Windows
                import readline  # noqa: F401 - `input` edits lines with it, remembers them, and takes in whole what is pasted
            return input("> ").strip()
        if sys.stdin.isatty():
            sys.stderr.write("> ")
            sys.stderr.flush()
        return line.strip() if (line := sys.stdin.readline()) else None
    except EOFError:
        say()
        return None
    except KeyboardInterrupt:
        say()
        return "" if at_terminal else None
