"""Traces for fine-tuning: one JSON document a line, `{"messages": […]}`, as the usual trainers read them.

Secrets and personal data are replaced by names before anything is written (node/mind/perceiving/perception.py), and
nothing is sent anywhere: the file lies in the twin's home, readable by its owner alone. Training is the owner's affair.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from node.clock import NowMs, now_ms
from node.mind.meta.errors import NothingToExport
from node.mind.meta.metrics import Metrics
from node.mind.perceiving.perception import perceive
from storage import feedback as feedback_rows
from storage.database import Database
from storage.feedback import Feedback
from storage.traces import MAX_TEXT_CHARS, JobTrace

MAX_TRACES: Final = 500
MAX_CURATED: Final = 1_000
"""As many as the original design exports and curates."""

MAX_FEEDBACK: Final = 2_000

DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    traces: int
    corrected: int


class Exporting:
    """Writes traces to files."""

    def __init__(self, database: Database, metrics: Metrics, folder: Path, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._metrics = metrics
        self._folder = folder
        self._now = now

    async def export(self, *, curated: bool, path: Path | None = None) -> Exported:
        """Write `lines` to a new file in the folder for exports, or to `path`. Raises NothingToExport."""
        lines, corrected = await self.lines(curated=curated)
        kind = "curated" if curated else "traces"
        target = path or self._folder / f"{kind}-{self._now()}.jsonl"
        await asyncio.to_thread(_write, target, lines)
        return Exported(target, len(lines), corrected)

    async def lines(self, *, curated: bool) -> tuple[list[bytes], int]:
        """The newest traces, one line each, oldest first, and how many of them are corrected answers.

        `curated` are only those that the owner, or what was measured, found good, and those that the owner corrected,
        as corrected. Raises NothingToExport.
        """
        jobs = await self._metrics.jobs(since_ms=0)
        told = await self._database.read(lambda conn: feedback_rows.since(conn, 0, MAX_FEEDBACK))
        lines, corrected = await asyncio.to_thread(_lines, jobs, {one.job_id: one for one in told}, curated)
        if not lines:
            raise NothingToExport(f"there is no trace to export{' that is known to be good' if curated else ''}")
        return lines, corrected


def _lines(jobs: Sequence[JobTrace], told: dict[str, Feedback], curated: bool) -> tuple[list[bytes], int]:
    """The lines, oldest first, and how many of them are corrected answers."""
    lines: list[bytes] = []
    corrected = 0
    for job in jobs:
        if len(lines) == (MAX_CURATED if curated else MAX_TRACES):
            break
        said = told.get(job.job_id)
        answer = job.answer
        if said is not None and not said.good and said.expected is not None:
            answer = said.expected + (f" ({said.because})" if said.because else "")
            corrected += 1
        elif job.status != DONE or job.degraded or (curated and job.outcome != "good") or job.outcome == "bad":
            continue
        if answer.strip() and len(job.goal) <= MAX_TEXT_CHARS and len(answer) <= MAX_TEXT_CHARS:
            lines.append(_line(job.goal, answer))
    return lines[::-1], corrected


def _line(goal: str, answer: str) -> bytes:
    turns = [
        {"role": "user", "content": perceive(goal).redacted},
        {"role": "assistant", "content": perceive(answer).redacted},
    ]
    return orjson.dumps({"messages": turns}, option=orjson.OPT_APPEND_NEWLINE)


def _write(target: Path, lines: Sequence[bytes]) -> None:
    """Whole or not at all, for the owner's eyes only."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f"{target.name}.part")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
