"""The loop that the original design had: clones of one bare Git repository, each pulling once a second."""

import random
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.lessons import lesson

PULL_EVERY_S: Final = 1.0
_QUIET: Final = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_ALL_S: Final = 120.0


def measure_pulls(folder: Path, *, clones: int, pushes: int) -> list[float]:
    """Seconds from the start of each push until the pull that brought it to each clone has ended."""
    folder.mkdir()
    bare, writer = folder / "bare.git", folder / "writer"
    _git(folder, "init", "--bare", "--initial-branch=main", str(bare))
    _git(folder, "clone", str(bare), str(writer))
    _git(writer, "config", "user.email", "twin@localhost")
    _git(writer, "config", "user.name", "twin")
    _commit(writer, 0)
    _git(writer, "push", "origin", "HEAD:main")
    pulled: dict[str, list[float]] = {}
    stop = threading.Event()
    threads = []
    for number in range(clones):
        clone = folder / f"clone-{number}"
        _git(folder, "clone", str(bare), str(clone))
        threads.append(threading.Thread(target=_pull, args=(clone, number / clones, pulled, stop), daemon=True))
    for thread in threads:
        thread.start()
    ways = []
    chance = random.Random(1)
    for number in range(1, pushes + 1):
        time.sleep(chance.random() * PULL_EVERY_S)
        began = time.perf_counter()
        head = _commit(writer, number)
        _git(writer, "push", "origin", "HEAD:main")
        while len(pulled.get(head, ())) < clones:
            if time.perf_counter() - began > _ALL_S:
                raise RuntimeError("the clones do not come after")
            time.sleep(0.01)
        ways += [at - began for at in pulled[head]]
    stop.set()
    for thread in threads:
        thread.join()
    return ways


def _pull(clone: Path, offset_s: float, pulled: dict[str, list[float]], stop: threading.Event) -> None:
    """Pull once a second; note when each new head was there."""
    last = _head(clone)
    stop.wait(offset_s)
    while not stop.is_set():
        began = time.perf_counter()
        _git(clone, "pull", "--ff-only", "origin", "main")
        head = _head(clone)
        if head != last:
            pulled.setdefault(head, []).append(time.perf_counter())
            last = head
        stop.wait(max(0.0, PULL_EVERY_S - (time.perf_counter() - began)))


def _commit(writer: Path, number: int) -> str:
    path = writer / "playbook.toml"
    text = path.read_text() if path.exists() else ""
    path.write_text(f"{text}lesson-{number} = {lesson(number)['text']!r}\n")
    _git(writer, "add", "playbook.toml")
    _git(writer, "commit", "-m", f"lesson {number}")
    return _head(writer)


def _head(repository: Path) -> str:
    return (repository / ".git" / "refs" / "heads" / "main").read_text().strip()


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL, **_QUIET)
