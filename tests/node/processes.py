"""Real twins and relays as processes of their own: loopback only, no mDNS, no model, each on its own home."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from identity.did import Did
from node.cli.client import Client

T = TypeVar("T")

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
START_S = 60.0
"""A twin is up in some 2 s; a machine on which everything else is tested at the same time needs longer."""

STOP_S = 30.0


def pagi(*arguments: str, timeout_s: float = START_S, env: Mapping[str, str] | None = None) -> "Outcome":
    """Run one `pagi` command to its end, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Outcome:
    """How a command ended."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        return parsed


class Process:
    """A twin or a relay that can be started, killed and started again on the same home."""

    def __init__(self, module: str, home: Path, options: Sequence[str]) -> None:
        self.home = home
        self.log = home.parent / f"{home.name}.log"
        self._command = [sys.executable, "-m", *module.split(), "--home", str(home), "--json", *options]
        self._running: subprocess.Popen[bytes] | None = None
        self._said = b""
        self.first_line: dict[str, Any] = {}

    @property
    def did(self) -> Did:
        return Did(self.first_line["did"])

    @property
    def address(self) -> str:
        """The multiaddr at which other twins can reach it."""
        return str(self.first_line["listen"][0])

    @property
    def client(self) -> Client:
        """The API, at the address that the first line gave."""
        return Client(str(self.first_line["api"]), (self.home / "api-token").read_text().strip())

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        assert self._running is None
        self._said = b""
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )

    def is_ready_within(self, timeout_s: float) -> bool:
        """Wait for the first line, for so long at most; whether it came. Fails the test if the process ended."""
        assert self._running is not None
        assert self._running.stdout is not None
        until = time.monotonic() + timeout_s
        while b"\n" not in self._said:
            readable, _, _ = select.select([self._running.stdout], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                return False
            part = os.read(self._running.stdout.fileno(), 65536)
            assert part, f"{self.home.name} ended instead of coming up:\n{self.last_words}"
            self._said += part
        self.first_line = json.loads(self._said.partition(b"\n")[0])
        return True

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        assert self.is_ready_within(START_S), f"{self.home.name} did not come up:\n{self.last_words}"

    def kill(self) -> None:
        """End it as a power cut would. It must have been running: a process that ended by itself fails the test."""
        assert self._running is not None
        self._running.send_signal(signal.SIGKILL)
        status = self._end()
        assert status == -signal.SIGKILL, f"{self.home.name} had ended with {status}:\n{self.last_words}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        assert self._running is not None
        self._running.send_signal(number)
        return self._end()

    def exit_status(self) -> int:
        """Wait until it ends by itself; its exit status."""
        assert self._running is not None
        self._running.wait(START_S)
        return self._end()

    def discard(self) -> None:
        """End it, if it runs, however it is."""
        if self._running is not None:
            self._running.kill()
            self._end()

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def _end(self) -> int:
        assert self._running is not None
        assert self._running.stdout is not None
        try:
            return self._running.wait(STOP_S)
        finally:
            self._running.kill()
            self._running.wait()
            self._running.stdout.close()
            self._running = None


class Machine:
    """Makes processes under one folder, and ends all of them at the end of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[Process] = []

    def twin(self, name: str, *options: str, config: str = "", home: Path | None = None) -> Process:
        """A twin that is not started yet. `config` is written into its config.toml."""
        home = home or self.folder / name
        if config:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / "config.toml").write_text(f"name = '{name}'\n{config}")
        quiet = ("--listen", LOOPBACK, "--api", "127.0.0.1:0", "--no-mdns", "--model", "none", "--unsealed")
        return self._add(Process("node.cli up", home, (*quiet, *options)))

    def relay(self, *options: str, listen: str = LOOPBACK) -> Process:
        """A relay that is not started yet."""
        return self._add(Process("bootstrap", self.folder / "relay", ("--listen", listen, *options)))

    def discard_all(self) -> None:
        for process in self._processes:
            process.discard()

    def _add(self, process: Process) -> Process:
        self._processes.append(process)
        return process


def wait_until(check: Callable[[], T | None], what: str, timeout_s: float = 60.0) -> T:
    """Ask another process until it gives something; return that."""
    until = time.monotonic() + timeout_s
    while (found := check()) is None:
        assert time.monotonic() < until, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.05)
    return found


def free_port() -> int:
    """A port that nobody uses now: a public URL has to name it before the listener has it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def every_item(client: Client, *path: str) -> Iterator[dict[str, Any]]:
    """All items of a list, page by page."""
    after: str | None = None
    while True:
        page = client.get(*path, query={"limit": 500, "after": after})
        yield from page["items"]
        after = page["next"]
        if after is None:
            return


def name_each_other(*twins: Process) -> None:
    """Put every twin on every twin's allow-list."""
    everyone = [twin.did for twin in twins]
    for twin in twins:
        trust = {"allow": everyone, "block": [], "reputation_threshold": 1.0, "auto_adopt": True}
        twin.client.put("trust", body=trust)
