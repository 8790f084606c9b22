"""The processes of other implementations that these tests talk to."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


class NodePeer:
    """An npm package behind a script of this folder: one JSON line out, one JSON line back."""

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


@contextmanager
def node_peer(script: str, package: str) -> Iterator[NodePeer]:
    """The peer; where it cannot run, the test is skipped, or fails if PAGI_REQUIRE_PEERS=1."""
    node = shutil.which("node")
    missing = None
    if node is None:
        missing = "Node.js is not on the PATH"
    elif not (HERE / "node_modules" / package).is_dir():
        missing = f"run `npm ci` in {HERE}"
    if missing or node is None:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail(f"PAGI_REQUIRE_PEERS=1, but {package} cannot run: {missing}")
        pytest.skip(f"{package} cannot run: {missing}")
    with subprocess.Popen([node, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield NodePeer(process)


@pytest.fixture(scope="session")
def didcomm_node() -> Iterator[NodePeer]:
    """npm didcomm-node."""
    with node_peer("didcomm_node.mjs", "didcomm-node") as peer:
        yield peer


@pytest.fixture(scope="session")
def data_integrity_node() -> Iterator[NodePeer]:
    """npm @digitalbazaar/vc with its EdDSA cryptosuites."""
    with node_peer("data_integrity.mjs", "@digitalbazaar/vc") as peer:
        yield peer


@pytest.fixture
def http_agent() -> Iterator[NodePeer]:
    """A DIDComm agent that listens on HTTP; it is nobody until it is told to `be`."""
    with node_peer("didcomm_agent.mjs", "didcomm-node") as peer:
        yield peer
