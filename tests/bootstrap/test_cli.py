import json
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.cli import _home_path
from identity.did import Did, PeerId, did_of_peer_id

pytestmark = pytest.mark.slow


def relay(home: Path, *args: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bootstrap", "--home", str(home), "--listen", "/ip4/127.0.0.1/tcp/0", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_it_says_where_it_is_keeps_its_key_and_stops_on_a_signal(tmp_path: Path) -> None:
    dids = []
    for _ in range(2):
        with relay(tmp_path / "home", "--json") as process:
            said = json.loads(first_line(process))
            assert did_of_peer_id(PeerId(said["peer_id"])) == Did(said["did"])
            assert said["pid"] == process.pid
            assert all(address.endswith(f"/p2p/{said['peer_id']}") for address in said["listen"])
            dids.append(said["did"])
            process.terminate()
            assert process.wait(20) == 0
    assert dids[0] == dids[1]


def test_a_second_one_on_the_same_home_says_who_holds_it(tmp_path: Path) -> None:
    with relay(tmp_path / "home") as first:
        assert "The relay is up" in first_line(first)
        with relay(tmp_path / "home") as second:
            assert second.wait(20) == 1
            assert second.stderr is not None
            assert str(first.pid) in second.stderr.read()
        first.terminate()
        assert first.wait(20) == 0


def test_a_malformed_address_is_one_line(tmp_path: Path) -> None:
    with relay(tmp_path / "home", "--listen", "nonsense") as process:
        assert process.wait(20) == 1
        assert process.stderr is not None
        said = process.stderr.read()
        assert "'nonsense'" in said.splitlines()[0]
        assert "Traceback" not in said


def test_where_it_lives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert _home_path(None) == tmp_path / "pagi-relay"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert _home_path(None) == Path.home() / ".local" / "share" / "pagi-relay"
    assert _home_path(str(tmp_path / "here")) == tmp_path / "here"


def test_it_keeps_mail_unless_it_is_told_not_to(tmp_path: Path) -> None:
    with relay(tmp_path / "home", "--json", "--public", "127.0.0.1:0") as process:
        said = json.loads(first_line(process))
        assert said["mediator"] == said["did"]
        assert said["public"].startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait(20) == 0
    with relay(tmp_path / "home", "--json", "--no-mediator") as process:
        said = json.loads(first_line(process))
        assert (said["mediator"], said["public"]) == (None, None)
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("--public:", ("--public", "somewhere")),
        ("--public:", ("--public", "127.0.0.1:99999")),
        ("--public-url:", ("--public-url", "https://relay.example")),
        ("--public-url:", ("--public", "127.0.0.1:0", "--public-url", "relay.example")),
        ("--no-mediator:", ("--public", "127.0.0.1:0", "--no-mediator")),
        ("--mail-bytes:", ("--mail-bytes", "10")),
    ],
)
def test_options_that_make_no_sense_are_one_line(tmp_path: Path, named: str, options: tuple[str, ...]) -> None:
    with relay(tmp_path / "home", *options) as process:
        assert process.wait(20) == 1
        assert process.stderr is not None
        said = process.stderr.read()
        assert named in said.splitlines()[0]
        assert "Traceback" not in said
