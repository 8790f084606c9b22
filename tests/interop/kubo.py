"""A stock Kubo as a process of its own, with its own repository: loopback only, it knows nobody and calls nobody.

It is used as a person uses it, by its own command line, which finds the daemon by the file `api` in the repository.
"""

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import pytest

START_S: Final = 60.0
"""A daemon is up in some 2 s; a busy machine needs longer."""

COMMAND_S: Final = 60.0
"""The longest that one command may take: what hangs, such as a block that nobody has, fails the test."""

_LONELY: Final[dict[str, Any]] = {
    "Addresses.Swarm": ["/ip4/127.0.0.1/tcp/0"],
    "Addresses.API": "/ip4/127.0.0.1/tcp/0",
    "Addresses.Gateway": [],
    "AutoConf.Enabled": False,
    "AutoNAT.ServiceMode": "disabled",
    "AutoTLS.Enabled": False,
    "Bootstrap": [],
    "DNS.Resolvers": {},
    "Discovery.MDNS.Enabled": False,
    "HTTPRetrieval.Enabled": False,
    "Ipns.DelegatedPublishers": [],
    "Plugins.Plugins.telemetry.Disabled": True,
    "Provide.Enabled": False,
    "Routing.DelegatedRouters": [],
    "Routing.Type": "none",
    "Swarm.DisableNatPortMap": True,
    "Swarm.EnableHolePunching": False,
    "Swarm.RelayClient.Enabled": False,
    "Swarm.RelayService.Enabled": False,
    "Swarm.Transports.Network.Relay": False,
    "Version.SwarmCheckEnabled": False,
}
"""What differs from a fresh repository: all that would reach out, or listen anywhere else than on loopback, is off."""


class Kubo:
    """A running daemon."""

    def __init__(self, binary: Path, repository: Path) -> None:
        self._binary = binary
        self._repository = repository

    @property
    def environment(self) -> dict[str, str]:
        """What its processes see: nothing of this user's own Kubo."""
        repository = str(self._repository)
        return {
            "PATH": os.environ["PATH"],
            "HOME": repository,
            "IPFS_PATH": repository,
            "IPFS_TELEMETRY": "off",
            "DO_NOT_TRACK": "1",
        }

    def ipfs(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run `ipfs …` to its end and return its stdout. Raises KuboFailed with what it wrote to stderr."""
        done = subprocess.run(
            [self._binary, *arguments],
            input=stdin,
            capture_output=True,
            timeout=COMMAND_S,
            env=self.environment,
            check=False,
        )
        if done.returncode != 0:
            raise KuboFailed(f"ipfs {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def lines(self, *arguments: str) -> list[str]:
        """Run `ipfs …` and return the lines of its stdout."""
        return self.ipfs(*arguments).decode().split()

    def document(self, *arguments: str) -> Any:
        """Run `ipfs …` and return the JSON document that it prints."""
        return json.loads(self.ipfs(*arguments))

    def rpc_url(self) -> str:
        """Where its RPC API listens."""
        _, _, host, _, port = (self._repository / "api").read_text().strip().split("/")
        return f"http://{host}:{port}"

    def address(self) -> str:
        """Where it can be dialled, with its peer ID."""
        addresses: list[str] = self.document("id")["Addresses"]
        (address,) = addresses
        return address


class KuboFailed(AssertionError):
    """A command of Kubo ended with an error."""


@contextlib.contextmanager
def running_kubo(binary: Path, repository: Path, config: Mapping[str, Any] | None = None) -> Iterator[Kubo]:
    """Run a daemon on a repository, which is made if it is not there, and end the daemon at the end.

    `config` goes over what is set here.
    """
    kubo = Kubo(binary, repository)
    if not repository.exists():
        repository.mkdir(mode=0o700)
        kubo.ipfs("init", "--empty-repo")
    _be_lonely(repository / "config", config or {})
    with (repository / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen([binary, "daemon"], stdout=subprocess.PIPE, stderr=log, env=kubo.environment)
    try:
        assert daemon.stdout is not None
        _wait_until_ready(daemon.stdout, repository / "daemon.log")
        yield kubo
    finally:
        daemon.terminate()
        try:
            daemon.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.communicate()


def _be_lonely(path: Path, also: Mapping[str, Any]) -> None:
    config = json.loads(path.read_bytes())
    for key, value in {**_LONELY, **also}.items():
        *tables, name = key.split(".")
        table = config
        for part in tables:
            table[part] = table.get(part) or {}
            table = table[part]
        table[name] = value
    path.write_text(json.dumps(config))


def _wait_until_ready(stdout: IO[bytes], log: Path) -> None:
    """Read until the daemon says that it is ready. Raises KuboFailed if it ends or is silent for too long."""
    seen = b""
    ends_at = time.monotonic() + START_S
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while b"Daemon is ready" not in seen:
            ready = selector.select(max(0.0, ends_at - time.monotonic()))
            chunk = os.read(stdout.fileno(), 65536) if ready else b""
            if not chunk:
                raise KuboFailed(f"the daemon did not start: {seen.decode()}{log.read_text()}")
            seen += chunk


@contextlib.contextmanager
def kubo_for_tests(repository: Path, config: Mapping[str, Any] | None = None) -> Iterator[Kubo]:
    """A running daemon of the binary that PAGI_TEST_KUBO names. Where there is none the test is skipped, or fails if
    PAGI_REQUIRE_PEERS=1."""
    binary = os.environ.get("PAGI_TEST_KUBO")
    if not binary:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail("PAGI_REQUIRE_PEERS=1, but PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
        pytest.skip("PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
    with running_kubo(Path(binary), repository, config) as kubo:
        yield kubo
