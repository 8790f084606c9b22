"""`pagi ask` at a real terminal: what it asks there, and Ctrl-C."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")]

PAGI = [sys.executable, "-c", "import sys; from node.cli.main import main; sys.exit(main())"]
PATIENCE_S = 30.0


class Terminal:
    """A command that runs at a terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Until the text is shown after what was waited for before."""
        begin, until = len(self.shown), time.monotonic() + PATIENCE_S
        while text not in self.shown[begin:] and time.monotonic() < until:
            if not self._more():
                break
        assert text in self.shown[begin:], self.shown

    def wait_for_count(self, text: str, count: int) -> None:
        """Until the text was shown so often, since the beginning."""
        until = time.monotonic() + PATIENCE_S
        while self.shown.count(text) < count and time.monotonic() < until and self._more():
            pass
        assert self.shown.count(text) == count, self.shown

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """The exit status, once the command has ended."""
        while self._more():
            pass
        return self._process.wait(timeout=PATIENCE_S)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], PATIENCE_S)
        try:
            data = os.read(self._descriptor, 65_536) if ready else b""
        except OSError:  # EIO: the command has closed the terminal
            return False
        self.shown += data.decode()
        return bool(data)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PAGI, *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_take_terminal
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            os.close(ours)
            if process.poll() is None:
                process.kill()


def _take_terminal() -> None:
    """In the child: the terminal is its own, so that Ctrl-C reaches it, also where the tests themselves ignore it."""
    import fcntl
    import signal
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def approvals(home: Path, *words: str) -> list[dict[str, str]]:
    command = [*PAGI, "--home", str(home), "approvals", "list", *words, "--json"]
    items: list[dict[str, str]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["items"]
    return items


@pytest.mark.parametrize(("typed", "status"), [("y\n", "approved"), ("n\n", "denied")])
def test_the_owner_decides_at_the_prompt(running_home: Path, typed: str, status: str) -> None:
    with terminal("--home", str(running_home), "ask", "wait") as shown:
        shown.wait_for("[y]es, [n]o, [l]ater: ")
        assert "1. recall" in shown.shown
        assert "It waits for you: Use the tool add" in shown.shown
        shown.type(typed)
        shown.end()
    assert approvals(running_home, "--all")[0]["status"] == status


def test_what_was_decided_elsewhere_meanwhile_is_said(running_home: Path) -> None:
    with terminal("--home", str(running_home), "ask", "wait") as shown:
        shown.wait_for("[l]ater: ")
        waiting = approvals(running_home)[0]["id"]
        subprocess.run([*PAGI, "--home", str(running_home), "approvals", "deny", waiting], check=True)
        shown.type("y\n")
        shown.wait_for("pagi: this was denied")
        shown.end()
        assert "Traceback" not in shown.shown


def test_later_says_how_to_decide(running_home: Path) -> None:
    with terminal("--home", str(running_home), "ask", "wait") as shown:
        shown.wait_for("[l]ater: ")
        shown.type("l\n")
        shown.wait_for("pagi approvals approve")
        assert shown.end() == 1
    assert approvals(running_home)[0]["status"] == "pending"


def test_what_is_pasted_into_a_chat_stays_in_it(running_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # whatever runs the tests: this terminal can mark what is pasted
    with terminal("--home", str(running_home), "chat", "--new") as shown:
        shown.wait_for_count("> ", 1)
        shown.type("\x1b[200~one line\n\nand another\x1b[201~\n")
        shown.wait_for_count("> ", 2)
        assert "You said: one line" in shown.shown
        shown.type("\n")  # which ends nothing
        shown.wait_for_count("> ", 3)
        shown.type("hllo\x1b[D\x1b[D\x1b[De\n")
        shown.wait_for_count("> ", 4)
        assert "You said: hello" in shown.shown
        shown.type("\x04")
        assert shown.end() == 0
        assert "Traceback" not in shown.shown


@pytest.mark.parametrize(("typed", "told"), [("n\n", "Cancelled."), ("\x03", "Cancelled."), ("\n", "pagi jobs follow")])
def test_ctrl_c_asks_whether_it_goes_on(running_home: Path, typed: str, told: str) -> None:
    with terminal("--home", str(running_home), "ask", "wait") as shown:
        shown.wait_for("[l]ater: ")
        shown.type("\x03")
        shown.wait_for("Leave it running? [Y/n] ")
        shown.type(typed)
        shown.wait_for(told)
        shown.end()
        assert "Traceback" not in shown.shown
