"""Starting a twin: time to the ready line and memory, without and with the bundled model, beside the bare libraries.

Ours is `pagi up` on a home that exists and holds no memories, mDNS off, on loopback; the peers are bare.py: a libp2p
host with gossip in a fresh Python process, and a process that only holds the model. The sides start one after the
other, in turns, so that all find their files in the page cache; the median counts. Seconds run from the start of the
process to its ready line, with the model to the moment at which `GET /ready` names it (asked 50 times a second). RSS is
read when it has stopped to change. The rows with the model are left out where its file is not cached (`pagi demo`
fetches it).
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import psutil

from benchmarks.table import Row
from node.cli.demo_swarm import Member
from node.cli.newhome import make_home
from node.inference.models import SMOLLM2, cache_folder

BARE = Path(__file__).with_name("bare.py")
ROUNDS = 5
ROUNDS_WITH_MODEL = 3
MODEL_S = 120.0
SETTLED_BYTES = 500_000
"""RSS has settled when it changes by less than this within SETTLE_S."""
SETTLE_S = 1.0
SETTLE_AT_MOST_S = 15.0

Figures = tuple[float, ...]


def run() -> list[Row]:
    """Time and memory of each side."""
    with tempfile.TemporaryDirectory(prefix="pagi-startup-") as folder:
        home = Path(folder) / "twin"
        make_home(home, name="Ada", passphrase=None)
        rows = _without_model(home)
        model = cache_folder() / SMOLLM2.file_name
        if model.exists():
            rows += _with_model(home, model)
    return rows


def _without_model(home: Path) -> list[Row]:
    (ours_s, said_s, ours_mb), (peer_s, peer_mb) = _medians(
        ROUNDS, lambda: _twin(home, "none"), lambda: _bare("libp2p")
    )
    peer = "bare libp2p 0.8.1 with gossipsub"
    return [
        Row("ready, no model", ours_s, peer_s, "s", peer, "lower", "at most 2"),
        Row("ready, no model, as the ready line says", said_s, None, "s", "", "lower", ""),
        Row("RSS, no model", ours_mb, peer_mb, "MB", peer, "lower", "under 150"),
    ]


def _with_model(home: Path, model: Path) -> list[Row]:
    (ours_s, _, ours_mb), (peer_s, peer_mb) = _medians(
        ROUNDS_WITH_MODEL, lambda: _twin(home, str(model)), lambda: _bare("xllamacpp", str(model))
    )
    peer = "bare xllamacpp with the same model"
    return [
        Row("model loaded", ours_s, peer_s, "s", peer, "lower", ""),
        Row("RSS, model loaded", ours_mb, peer_mb, "MB", peer, "lower", ""),
    ]


def _medians(rounds: int, *sides: Callable[[], Figures]) -> list[Figures]:
    """Each side's figures: the medians of rounds in which the sides take turns."""
    found: list[list[Figures]] = [[] for _ in sides]
    for _ in range(rounds):
        for figures, side in zip(found, sides, strict=True):
            figures.append(side())
    return [tuple(median(values) for values in zip(*figures, strict=True)) for figures in found]


def _twin(home: Path, model: str) -> Figures:
    """Seconds to readiness by our clock and by the twin's own, and its RSS in MB."""
    command = [sys.executable, "-m", "node.cli", "up", "--model", model, "--no-mdns", "--unsealed"]
    command += ["--listen", "/ip4/127.0.0.1/tcp/0", "--api", "127.0.0.1:0"]
    twin = Member("twin", command, home)
    started = time.perf_counter()
    twin.start()
    try:
        if model != "none":
            _wait_for_model(twin)
        seconds = time.perf_counter() - started
        return seconds, float(twin.first_line["ready_s"]), _settled_rss_mb(twin.pid)
    finally:
        twin.stop()


def _wait_for_model(twin: Member) -> None:
    client = twin.client()
    until = time.monotonic() + MODEL_S
    while (detail := client.ready()[1]["checks"]["model"]["detail"]) == "loading":
        if time.monotonic() > until:
            raise RuntimeError(f"the model was not loaded within {MODEL_S:.0f} s")
        time.sleep(0.02)
    if detail.startswith("degraded"):
        raise RuntimeError(f"the twin has no model: {detail}")


def _bare(*task: str) -> Figures:
    """Seconds to the line of bare.py, and its RSS in MB."""
    started = time.perf_counter()
    with subprocess.Popen(
        _bare_command(task), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        if not line:
            raise RuntimeError(f"bare.py {task[0]} does not start")
        rss = _settled_rss_mb(process.pid)
        process.stdin.close()
    return seconds, rss


def _bare_command(task: Sequence[str]) -> list[str]:
    return [sys.executable, str(BARE), *task]


def _settled_rss_mb(pid: int) -> float:
    """The resident set in MB (10^6 bytes) once it has stopped to change."""
    process = psutil.Process(pid)
    rss = process.memory_info().rss
    until = time.monotonic() + SETTLE_AT_MOST_S
    while time.monotonic() < until:
        time.sleep(SETTLE_S)
        before, rss = rss, process.memory_info().rss
        if abs(rss - before) < SETTLED_BYTES:
            break
    return float(rss) / 1e6
