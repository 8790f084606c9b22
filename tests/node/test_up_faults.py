"""What keeps a twin from running: each cause in one line with what to do, exit status 1, and no traceback."""

import json
import shutil
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.errors import KeystoreDamaged, PagiError, PassphraseNeeded, WrongPassphrase
from node.api.errors import CannotServe
from node.cli.client import Client
from node.cli.errors import FileUnreadable, NodeNotRunning
from node.errors import ConfigInvalid, PortInUse
from node.inference.errors import ModelMissing
from node.net.errors import AddressInUse, CannotListen, MalformedAddress
from storage.errors import DatabaseDamaged, HomeBusy, HomeUnwritable, NewerSchema
from tests.node.processes import LOOPBACK, Machine, Outcome, pagi

pytestmark = pytest.mark.slow

QUIET = ("--no-mdns", "--model", "none", "--listen", LOOPBACK, "--api", "127.0.0.1:0")


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "home"
    assert pagi("init", "--home", str(path), "--unsealed").status == 0
    return path


@pytest.fixture
def home(new_home: Path, tmp_path: Path) -> Path:
    """A home of its own in which an unsealed twin lives that never ran."""
    return shutil.copytree(new_home, tmp_path / "home")


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A TCP port of 127.0.0.1 on which this test listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def up(home: Path, *options: str) -> Outcome:
    return pagi("up", "--json", "--home", str(home), *QUIET, *options)


def refused(outcome: Outcome, kind: type[PagiError], *words: str) -> None:
    """The command failed for this reason, and told it to the person and to the program that started it."""
    assert outcome.status == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr
    cause, hint = outcome.stderr.splitlines()[-2:]
    problem = outcome.document
    assert cause == f"pagi: {problem['detail']}"
    assert hint == f"  {problem['hint']}"
    assert len(problem["hint"]) > 20
    assert (problem["title"], problem["code"], problem["status"]) == (kind.__name__, kind.code, kind.code // 100)
    for word in words:
        assert word in cause
    above = outcome.stderr.splitlines()[:-2]
    assert not any("ERROR" in line or "WARNING " in line for line in above), outcome.stderr


def test_a_second_twin_on_one_home_is_told_who_holds_it(machine: Machine) -> None:
    twin = machine.twin("only")
    twin.start()
    refused(up(twin.home), HomeBusy, str(twin.pid), str(twin.home))
    assert twin.client.get("id")["did"] == twin.did
    assert Client.of_home(twin.home).get("id")["did"] == twin.did, "the second twin took the first one's files away"


def test_a_busy_api_port(home: Path, busy_port: int) -> None:
    refused(up(home, "--api", f"127.0.0.1:{busy_port}"), PortInUse, str(busy_port))
    assert not (home / "api").exists()


def test_a_busy_port_for_other_twins(home: Path, busy_port: int) -> None:
    refused(up(home, "--listen", f"/ip4/127.0.0.1/tcp/{busy_port}"), AddressInUse, str(busy_port))


@pytest.mark.parametrize(
    ("listen", "kind"),
    [("/ip4/127.0.0.1", MalformedAddress), ("nonsense", MalformedAddress), ("/ip4/203.0.113.7/tcp/0", CannotListen)],
)
def test_an_address_that_cannot_be_listened_on(home: Path, listen: str, kind: type[PagiError]) -> None:
    outcome = pagi("up", "--json", "--home", str(home), *QUIET[:3], "--api", "127.0.0.1:0", "--listen", listen)
    refused(outcome, kind, listen)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:70000", "nonsense:port"])
def test_an_api_address_that_is_none(home: Path, address: str) -> None:
    refused(up(home, "--api", address), ConfigInvalid, address)


def test_an_api_address_of_another_machine(home: Path) -> None:
    refused(up(home, "--api", "203.0.113.7:0"), CannotServe, "203.0.113.7")


def test_a_wrong_passphrase(tmp_path: Path) -> None:
    right, wrong, home = tmp_path / "right", tmp_path / "wrong", tmp_path / "home"
    right.write_text("a long passphrase\n")
    wrong.write_text("another passphrase\n")
    assert pagi("init", "--home", str(home), "--passphrase-file", str(right)).status == 0
    refused(up(home, "--passphrase-file", str(wrong)), WrongPassphrase, "passphrase")
    refused(up(home), PassphraseNeeded, "sealed")
    refused(up(home, "--passphrase-file", str(tmp_path / "absent")), FileUnreadable, "absent")


@pytest.mark.parametrize("where", ["under-a-file", "/proc/pagi", "/dev/null/pagi"])
def test_a_home_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    (tmp_path / "under-a-file").write_text("")
    home = tmp_path / where / "home"
    refused(up(home, "--unsealed"), HomeUnwritable, str(home.parent))


def test_a_model_that_is_not_there(home: Path) -> None:
    outcome = pagi("up", "--json", "--home", str(home), "--no-mdns", "--listen", LOOPBACK, "--model", "/no/model.gguf")
    refused(outcome, ModelMissing, "/no/model.gguf")


def test_a_database_of_a_newer_version(home: Path) -> None:
    conn = sqlite3.connect(home / "node.db")
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA user_version = 999")
    conn.close()
    before = (home / "node.db").read_bytes()
    refused(up(home), NewerSchema, "999")
    assert (home / "node.db").read_bytes() == before


def test_a_database_that_is_none(home: Path) -> None:
    (home / "node.db").write_bytes(b"This is no database. " * 100)
    refused(up(home), DatabaseDamaged)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name = ", "config.toml"),
        ("\udcff", "config.toml"),
        ("colour = 'blue'", "colour"),
        ("[network]\nsync_every_s = 'often'", "network.sync_every_s"),
        ("network = 7", "network"),
    ],
)
def test_a_malformed_configuration(home: Path, text: str, word: str) -> None:
    (home / "config.toml").write_text(text, encoding="utf-8", errors="surrogateescape")
    refused(up(home), ConfigInvalid, word)


def test_a_configuration_that_cannot_be_read(home: Path) -> None:
    (home / "config.toml").mkdir()
    refused(up(home), ConfigInvalid, "config.toml")


@pytest.mark.parametrize("damage", ["", "{}", "nonsense", json.dumps({"format": "pagi-keystore", "version": 99})])
def test_a_damaged_key(home: Path, damage: str) -> None:
    (home / "identity.json").write_text(damage)
    refused(up(home), KeystoreDamaged, "identity.json")


@pytest.mark.parametrize("address", ["nonsense", "/ip4/127.0.0.1/tcp/4800", "/ip4/127.0.0.1/tcp/4800/p2p/nobody"])
def test_a_bootstrap_address_that_is_none(home: Path, address: str) -> None:
    refused(up(home, "--bootstrap", address), MalformedAddress, address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(machine: Machine, number: signal.Signals) -> None:
    twin = machine.twin("twin")
    twin.start()
    assert (twin.home / "api").exists()
    assert twin.stop(number) == 0
    assert not (twin.home / "api").exists()
    assert "Traceback" not in twin.last_words
    with pytest.raises(NodeNotRunning):
        Client.of_home(twin.home)


def test_a_signal_while_it_starts_stops_it_cleanly(machine: Machine) -> None:
    twin = machine.twin("twin")
    twin.launch()
    assert not twin.is_ready_within(0.6)
    assert twin.stop() in (0, -signal.SIGTERM)
    assert not (twin.home / "api").exists()
    assert "Traceback" not in twin.last_words


def test_a_relay_stops_cleanly_and_holds_its_home(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    second = machine.relay()
    second.launch()
    assert second.exit_status() == 1
    assert str(relay.pid) in second.last_words
    assert "Traceback" not in second.last_words
    assert relay.stop() == 0


def test_a_command_without_a_running_twin(home: Path) -> None:
    outcome = pagi("id", "--json", "--home", str(home))
    assert outcome.status == 3
    assert outcome.document["code"] == 50390
    assert "pagi up" in outcome.stderr


def test_a_command_after_the_twin_was_killed(machine: Machine) -> None:
    twin = machine.twin("twin")
    twin.start()
    twin.kill()
    outcome = pagi("id", "--json", "--home", str(twin.home))
    assert outcome.status == 3
    assert outcome.document["code"] == 50390
    refused(up(twin.home, "--bootstrap", "nonsense"), MalformedAddress, "nonsense")
    assert not (twin.home / "api").exists(), "the killed twin's address stayed"
