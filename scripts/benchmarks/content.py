"""A file in and out over HTTP: our API beside Kubo's, `add` and `cat`, of 1 MB and of 100 MB.

Each side is a process of its own on an empty home, alone, with its usual settings: what `add` acknowledges is on disk
(ours by an fsync for each file or transaction, Kubo's flatfs with `sync`), chunked by 256 KiB, and pinned. One client
on the standard library asks both; each file is new, and sides take turns; the median counts. Kubo is the one that
`scripts/kubo` has built, or that PAGI_TEST_KUBO names; without it there is no peer.
"""

import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final, Protocol
from urllib.parse import urlsplit

from benchmarks.table import Row
from tests.interop.kubo import running_kubo
from tests.node.processes import Machine

ROOT: Final = Path(__file__).resolve().parents[2]
MB: Final = 1_000_000
ROUNDS: Final[dict[int, int]] = {1: 15, 100: 5}
"""How often a file of so many MB goes in and out."""
ANSWER_S: Final = 120.0
PIECE: Final = 1024 * 1024


class Side(Protocol):
    """One process, and how it is asked."""

    def add(self, content: bytes) -> str:
        """Add a file; its CID."""

    def cat(self, cid: str) -> int:
        """Read a file to its end; its bytes."""


class Ours:
    """A twin, by its API."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._headers = {"Authorization": f"Bearer {token}"}

    def add(self, content: bytes) -> str:
        with _answered(self._address, "POST", "/v1/ipfs/add", content, self._headers) as response:
            return str(response.read())

    def cat(self, cid: str) -> int:
        cid = cid.partition('"cid":"')[2].partition('"')[0]
        with _answered(self._address, "GET", f"/v1/ipfs/cat/{cid}", None, self._headers) as response:
            return _length(response)


class Daemon:
    """A Kubo daemon, by its RPC."""

    def __init__(self, repository: Path) -> None:
        _, _, host, _, port = (repository / "api").read_text().strip().split("/")
        self._address = (host, int(port))

    def add(self, content: bytes) -> str:
        head = (
            b'--part\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=part"}
        path = "/api/v0/add?cid-version=1&chunker=size-262144&pin=true&progress=false"
        with _answered(self._address, "POST", path, head + content + b"\r\n--part--\r\n", headers) as response:
            return response.read().decode().partition('"Hash":"')[2].partition('"')[0]

    def cat(self, cid: str) -> int:
        with _answered(self._address, "POST", f"/api/v0/cat?arg={cid}", None, {}) as response:
            return _length(response)


@contextmanager
def _answered(
    address: tuple[str, int], method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(*address, timeout=ANSWER_S)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        yield response
    finally:
        connection.close()


def _length(response: http.client.HTTPResponse) -> int:
    buffer, size = bytearray(PIECE), 0
    while count := response.readinto(buffer):
        size += count
    return size


def run() -> list[Row]:
    """MB/s of each side."""
    rates: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides: dict[str, Side] = {"ours": stack.enter_context(_twin(Path(folder)))}
        if binary := _kubo_binary():
            repository = Path(folder) / "kubo"
            stack.enter_context(running_kubo(binary, repository))
            sides["kubo"] = Daemon(repository)
        for megabytes, rounds in ROUNDS.items():
            for number in range(rounds + 1):
                for name, side in sides.items():
                    for what, rate in _measure(side, megabytes * MB).items():
                        if number:  # the first one warms up
                            rates.setdefault((name, what, megabytes), []).append(rate)
    return [
        Row.against(
            f"{what} {megabytes} MB",
            median(rates["ours", what, megabytes]),
            {"Kubo, HTTP RPC": median(found)} if (found := rates.get(("kubo", what, megabytes))) else {},
            unit="MB/s",
            aim="at least Kubo's rate",
        )
        for what in ("add", "cat")
        for megabytes in ROUNDS
    ]


def _measure(side: Side, size_bytes: int) -> dict[str, float]:
    content = os.urandom(size_bytes)
    begun = time.perf_counter()
    cid = side.add(content)
    added = time.perf_counter()
    assert side.cat(cid) == size_bytes
    read = time.perf_counter()
    return {"add": size_bytes / MB / (added - begun), "cat": size_bytes / MB / (read - added)}


@contextmanager
def _twin(folder: Path) -> Iterator[Ours]:
    machine = Machine(folder)
    twin = machine.twin("ours")
    try:
        twin.start()
        yield Ours(str(twin.first_line["api"]), (twin.home / "api-token").read_text().strip())
    finally:
        machine.discard_all()


def _kubo_binary() -> Path | None:
    if named := os.environ.get("PAGI_TEST_KUBO"):
        return Path(named)
    found = subprocess.run([ROOT / "scripts" / "kubo", "--no-build"], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None
