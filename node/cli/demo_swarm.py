"""The processes of the demo: a relay and twins, each with its own home and key, on loopback only."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from identity.errors import PagiError
from node.cli.client import Client

T = TypeVar("T")

START_S: Final = 90.0
"""A twin is up in seconds; a busy machine may need longer."""


class DemoFailed(PagiError):
    """A step of the demo did not happen."""

    code = 50090
    hint = "Look at the logs that the message names. `pagi doctor` checks this machine."


class Member:
    """One process of the swarm: the relay or a twin."""

    def __init__(self, name: str, command: Sequence[str], home: Path) -> None:
        self.name = name
        self.home = home
        self.log = home.parent / f"{name}.log"
        self._command = [*command, "--home", str(home), "--json"]
        self._process: subprocess.Popen[bytes] | None = None
        self.first_line: dict[str, Any] = {}

    @property
    def did(self) -> str:
        """The member's DID, as its first line gave it."""
        return str(self.first_line["did"])

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def client(self) -> Client:
        """The twin's API, through its own files as `pagi` finds it."""
        return Client.of_home(self.home)

    def start(self) -> None:
        """Start the process and wait for its first line. Raises DemoFailed."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        line = _read_line(self._process, time.monotonic() + START_S)
        if not line:
            raise DemoFailed(f"{self.name} did not come up; its log is {self.log}:\n{self.last_words()}")
        self.first_line = json.loads(line)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._close()

    def stop(self) -> int | None:
        """Ask it to end (SIGTERM); its exit status, None if it was not running."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._close()

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def _close(self) -> None:
        assert self._process is not None
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


class Swarm:
    """A relay and twins. Leaving the context ends them all, and removes homes and logs unless `keep` is set."""

    def __init__(self, names: Sequence[str], *, model: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pagi-demo-"))
        self.keep = False
        self._model = model
        self.relay = Member("relay", [*_program("bootstrap"), "--listen", _LOOPBACK], self.folder / "relay")
        self.names = tuple(names)
        self.twins: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in (*reversed(self.twins), self.relay):
            member.stop()
        if not self.keep:
            shutil.rmtree(self.folder)

    def start(self, started: Callable[[Member], None]) -> None:
        """Start the relay, then the twins, which know nothing but its address."""
        self.relay.start()
        started(self.relay)
        address = str(self.relay.first_line["listen"][0])
        for name in self.names:
            command = [*_program("node.cli"), "up", "--name", name, "--unsealed", "--no-mdns"]
            command += ["--listen", _LOOPBACK, "--api", "127.0.0.1:0", "--bootstrap", address, "--model", self._model]
            twin = Member(name, command, self.folder / name)
            self.twins.append(twin)
            twin.start()
            started(twin)


_LOOPBACK: Final = "/ip4/127.0.0.1/tcp/0"


def wait_until(what: str, check: Callable[[], T | None], timeout_s: float = 60.0) -> T:
    """Ask until `check` gives something; return it. Raises DemoFailed when the time is over."""
    until = time.monotonic() + timeout_s
    while True:
        found = check()
        if found is not None:
            return found
        if time.monotonic() > until:
            raise DemoFailed(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.1)


def _program(module: str) -> list[str]:
    """How this same installation starts a command of its own, also where it is packed into one binary."""
    if getattr(sys, "frozen", False):
        name = "pagi-relay" if module.startswith("bootstrap") else "pagi"
        return [str(Path(sys.executable).parent / name)]
    return [sys.executable, "-m", module]


def _read_line(process: subprocess.Popen[bytes], until: float) -> bytes:
    """The first line of stdout; empty if the process ends or the time is over before it."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
        part = os.read(process.stdout.fileno(), 65536) if readable else b""
        if not part:
            return b""
        line += part
    return line
