"""The steps of `pagi demo --twins 3`, each in seconds until its evidence was seen, with the bundled model and without.

There is no peer: it is the story of the project itself. A demo that fails is no figure but an error. The rows with the
model are left out where its file is not cached (`pagi demo` fetches it).
"""

import json
import subprocess
import sys
from typing import Any

from benchmarks.table import Row
from node.inference.models import SMOLLM2, cache_folder

TWINS = 3


def run() -> list[Row]:
    """Each step of each demo, and the whole."""
    kinds = {"no model": "none"}
    if (cache_folder() / SMOLLM2.file_name).exists():
        kinds = {"bundled model": "bundled", **kinds}
    return [row for kind, model in kinds.items() for row in _rows(kind, _play(model))]


def _play(model: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "node.cli", "demo", "--twins", str(TWINS), "--model", model, "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the demo failed:\n{(done.stdout + done.stderr).decode(errors='replace')[-4000:]}")
    transcript: dict[str, Any] = json.loads(done.stdout)
    return transcript


def _rows(kind: str, transcript: dict[str, Any]) -> list[Row]:
    steps = [(f"{step['n']}. {step['title']}", step["ms"] / 1000) for step in transcript["steps"]]
    figures = [*steps, ("all", float(transcript["seconds"]))]
    return [Row(f"{kind}: {title}", seconds, None, "s", "", "lower", "") for title, seconds in figures]
