"""The processes of other implementations that these tests talk to."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


class DidcommNode:
    """npm didcomm-node behind didcomm_node.mjs: one JSON line out, one JSON line back."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Its answer; a failure is returned under `error`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(scope="session")
def didcomm_node() -> Iterator[DidcommNode]:
    """The peer; where it cannot run, the test is skipped, or fails if PAGI_REQUIRE_PEERS=1."""
    node = shutil.which("node")
    missing = None
    if node is None:
        missing = "Node.js is not on the PATH"
    elif not (HERE / "node_modules" / "didcomm-node").is_dir():
        missing = f"run `npm ci` in {HERE}"
    if missing or node is None:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail(f"PAGI_REQUIRE_PEERS=1, but didcomm-node cannot run: {missing}")
        pytest.skip(f"didcomm-node cannot run: {missing}")
    with subprocess.Popen(
        [node, str(HERE / "didcomm_node.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield DidcommNode(process)
