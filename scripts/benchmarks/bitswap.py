"""A file by bitswap over loopback: between two of our nodes, two Kubo daemons, and one of each, both ways.

Each node is a process of its own, knows nobody but the other one, and writes what it fetches to its disk: ours into its
block store, an fsync for each block, Kubo by `pin add` into its flatfs. The files are of 256 KiB chunks and are new to
the side that fetches; sides take turns, and the median counts. Kubo is the one that `scripts/kubo` has built, or that
PAGI_TEST_KUBO names; without it there is no peer.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from benchmarks.table import Row
from protocols.unixfs.layout import CHUNK_BYTES
from tests.interop.kubo import Kubo, running_kubo

ROOT: Final = Path(__file__).resolve().parents[2]
MB: Final = 1_000_000
ROUNDS: Final[dict[int, int]] = {1: 9, 100: 3}
"""How often a file of so many MB is fetched."""

DONE_S: Final = 120.0
"""The longest that one fetch may take."""


class Side(Protocol):
    """One process."""

    address: str

    def add(self, size_bytes: int, seed: int) -> str:
        """Make a file and keep it; its root CID."""

    def fetch(self, root: str, owner: "Side") -> float:
        """Fetch a file from its owner; the seconds that it took."""


class Ours:
    """Our node, in `bitswap_node.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = str(self._read()["address"])

    def add(self, size_bytes: int, seed: int) -> str:
        return str(self._ask("add", size_bytes, seed)["root"])

    def fetch(self, root: str, owner: Side) -> float:
        return float(self._ask("fetch", root, owner.address)["seconds"])

    def _ask(self, command: str, *arguments: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({command: arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line: dict[str, Any] = json.loads(self._process.stdout.readline())
        return line


class Daemon:
    """A Kubo daemon, told by its RPC what to do."""

    def __init__(self, kubo: Kubo, repository: Path) -> None:
        self._kubo = kubo
        _, _, host, _, port = (repository / "api").read_text().strip().split("/")
        self._api = f"http://{host}:{port}/api/v0"
        self.address = kubo.address()

    def add(self, size_bytes: int, seed: int) -> str:
        content = random.Random(seed).randbytes(size_bytes)
        arguments = ("add", "--cid-version=1", f"--chunker=size-{CHUNK_BYTES}", "--quieter")
        return self._kubo.ipfs(*arguments, stdin=content).decode().strip()

    def fetch(self, root: str, owner: Side) -> float:
        self._post("swarm/connect", arg=owner.address)
        begun = time.perf_counter()
        self._post("pin/add", arg=root)
        return time.perf_counter() - begun

    def _post(self, path: str, **query: str) -> None:
        request = urllib.request.Request(f"{self._api}/{path}?{urlencode(query)}", method="POST")
        with urllib.request.urlopen(request, timeout=DONE_S) as response:
            response.read()


@contextmanager
def running_ours(folder: Path) -> Iterator[Ours]:
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.bitswap_node", str(folder)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield Ours(process)
        assert process.stdin is not None
        process.stdin.close()


@dataclass(frozen=True, slots=True)
class Way:
    """Who fetches from whom, and the rates in MB/s by the size of the file in MB."""

    fetcher: Side
    owner: Side
    rates: dict[int, list[float]]

    def measure(self, megabytes: int, seed: int) -> None:
        root = self.owner.add(megabytes * MB, seed)
        os.sync()  # whoever fetches is not to wait for what the other one has left to be written
        self.rates[megabytes].append(megabytes / self.fetcher.fetch(root, self.owner))


def run() -> list[Row]:
    """The rate of each way, for each size."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours = [stack.enter_context(running_ours(Path(folder) / f"ours{n}")) for n in range(2)]
        ways = {"ours <- ours": _way(ours[0], ours[1])}
        binary = kubo_binary()
        if binary is not None:
            repositories = [Path(folder) / f"kubo{n}" for n in range(2)]
            kubos = [Daemon(stack.enter_context(running_kubo(binary, path)), path) for path in repositories]
            ways["Kubo <- Kubo"] = _way(kubos[0], kubos[1])
            ways["ours <- Kubo"] = _way(ours[0], kubos[0])
            ways["Kubo <- ours"] = _way(kubos[0], ours[0])
        seeds = iter(range(1_000_000))
        for megabytes, rounds in ROUNDS.items():
            for _ in range(rounds):
                for way in ways.values():
                    way.measure(megabytes, next(seeds))
    return [_row(name, megabytes, ways) for megabytes in ROUNDS for name in ways if name != "Kubo <- Kubo"]


def kubo_binary() -> Path | None:
    """The Kubo to measure beside, or None."""
    named = os.environ.get("PAGI_TEST_KUBO")
    if named:
        return Path(named)
    found = subprocess.run([ROOT / "scripts/kubo", "--no-build"], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _way(fetcher: Side, owner: Side) -> Way:
    return Way(fetcher, owner, {megabytes: [] for megabytes in ROUNDS})


def _row(name: str, megabytes: int, ways: dict[str, Way]) -> Row:
    peer = ways.get("Kubo <- Kubo")
    return Row(
        f"{megabytes} MB, {name}",
        median(ways[name].rates[megabytes]),
        median(peer.rates[megabytes]) if peer is not None else None,
        "MB/s",
        "Kubo <- Kubo" if peer is not None else "",
        "higher",
        "at least the peer",
    )
