"""The doctor's findings on homes in different states."""

import json
import shutil
import socket
from argparse import Namespace
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from node.cli import doctor, doctor_running
from node.cli.client import Client
from node.cli.command import Call
from node.cli.errors import ApiProblem
from node.cli.main import main
from node.inference.choice import Choice, remember_choice
from node.inference.models import SMOLLM2
from storage.home import Home
from tests.node.inference.gguf_files import gguf

Usage = namedtuple("Usage", "total used free")


def call(home: Path) -> Call:
    return Call(Namespace(), home, False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    assert main(["init", "--home", str(path), "--unsealed"]) == 0
    return path


def test_a_home_that_is_not_there_yet(tmp_path: Path) -> None:
    nowhere = call(tmp_path / "nowhere" / "home")
    assert doctor.check_home(nowhere).state == "warn"
    assert doctor.check_keystore(nowhere).state == "warn"
    assert "pagi up" in doctor.check_node(nowhere).hint
    assert doctor.check_disk(nowhere).detail.endswith("free")
    assert not (tmp_path / "nowhere").exists(), "the doctor only looks"


def test_an_idle_home(home: Path) -> None:
    assert doctor.check_home(call(home)).state == "ok"
    found = doctor.check_keystore(call(home))
    assert (found.state, "not sealed" in found.detail) == ("warn", True)
    assert doctor.check_node(call(home)).state == "warn"


def test_open_permissions_and_damage_are_found(home: Path) -> None:
    home.chmod(0o755)
    assert doctor.check_home(call(home)).state == "warn"
    identity = home / "identity.json"
    identity.chmod(0o644)
    assert doctor.check_keystore(call(home)).state == "fail"
    identity.chmod(0o600)
    identity.write_text("{}")
    assert "damaged" in doctor.check_keystore(call(home)).detail


def test_a_twin_that_is_starting(home: Path) -> None:
    with Home(home).lock():
        found = doctor.check_node(call(home))
    assert (found.state, "not up yet" in found.detail) == ("warn", True)


def test_a_held_home_whose_process_does_not_answer(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as was_here:
        (home / "api").write_text(f"http://127.0.0.1:{was_here.getsockname()[1]}\n")
    (home / "api-token").write_text("token\n")
    with Home(home).lock():
        found = doctor.check_node(call(home))
    assert (found.state, "does not answer" in found.detail) == ("fail", True)


def test_a_degraded_twin_is_no_failure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = {"status": "degraded", "checks": {"model": {"ok": True, "detail": "degraded: no model"}}}
    monkeypatch.setattr(Client, "of_home", lambda _: Client("http://127.0.0.1:1", "token"))
    monkeypatch.setattr(Client, "ready", lambda _: (200, ready))
    (home / "api").touch()
    with Home(home).lock():
        found = doctor.check_node(call(home))
    assert (found.state, "degraded: no model" in found.detail, "--model" in found.hint) == ("warn", True, True)


def test_a_running_twin(home: Path, running_home: Path) -> None:
    for name in ("api", "api-token"):
        shutil.copy(running_home / name, home / name)
    with Home(home).lock():
        found = doctor.check_node(call(home))
    assert (found.state, "ready" in found.detail) == ("ok", True)


def test_a_twin_that_nobody_is_connected_with(home: Path, running_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor_running.check_network(call(home)).state == "ok"  # it is not running: there is nothing to complain of
    for name in ("api", "api-token"):
        shutil.copy(running_home / name, home / name)
    assert doctor_running.check_network(call(home)).detail == "1 peer is connected"
    monkeypatch.setattr(Client, "get", lambda *_: {"items": []})
    found = doctor_running.check_network(call(home))
    assert (found.state, "--bootstrap" in found.hint) == ("warn", True)


def test_the_model(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGI_MODEL_CACHE", str(tmp_path))
    assert doctor.check_model(call(home)).state == "warn"
    model = tmp_path / SMOLLM2.file_name
    model.write_bytes(b"GGUF")
    assert doctor.check_model(call(home)).state == "warn", "half a file"
    with model.open("r+b") as file:
        file.truncate(SMOLLM2.size_bytes)
    assert doctor.check_model(call(home)).state == "fail", "it is no model"
    with model.open("wb") as file:
        file.write(gguf())
        file.truncate(SMOLLM2.size_bytes)
    found = doctor.check_model(call(home))
    assert found.state == "ok"
    assert "tokens of context" in found.detail
    config = home / "config.toml"
    for wanted, state in (("none", "warn"), (str(model), "ok"), ("/nowhere.gguf", "fail")):
        config.write_text(f'[inference]\nmodel = "{wanted}"\n')
        assert doctor.check_model(call(home)).state == state
    config.write_text('[inference]\nmodel = "none"\n')
    (home / "models").mkdir(exist_ok=True)
    remember_choice(home / "models", Choice(model="bundled", instead_of="none"))
    assert doctor.check_model(call(home)).state == "ok"
    config.write_text("[inference]\nmodell = 1\n")
    found = doctor._run_check(doctor.check_model, call(home))
    assert (found.state, found.name) == ("fail", "model")
    assert "modell" in found.detail


@pytest.mark.parametrize(
    ("now", "ready", "state", "detail"),
    [
        ({"name": "large", "loading": False, "fit": {"why": ["1 thread"]}}, "large", "ok", "large; 1 thread"),
        ({"name": None, "loading": True}, "", "ok", "loaded"),
        ({"name": None, "loading": False, "reason": "it broke"}, "degraded: it broke", "warn", "it broke"),
        ({"name": None, "loading": False, "reason": "none"}, "elsewhere", "ok", "elsewhere"),
    ],
)
def test_the_model_of_a_running_twin(
    home: Path, monkeypatch: pytest.MonkeyPatch, now: dict[str, Any], ready: str, state: str, detail: str
) -> None:
    (home / "config.toml").write_text('[inference]\nmodel = "none"\n')
    (home / "api").touch()
    monkeypatch.setattr(Client, "of_home", lambda _: Client("http://127.0.0.1:1", "token"))
    monkeypatch.setattr(Client, "get", lambda *_, **__: {"now": now})
    monkeypatch.setattr(Client, "ready", lambda _: (200, {"checks": {"model": {"detail": ready}}}))
    found = doctor.check_model(call(home))
    assert (found.name, found.state, detail in found.detail) == ("model", state, True), found


@pytest.mark.parametrize(("free", "state"), [(10 * 1024**3, "ok"), (500 * 1024**2, "warn"), (1024, "fail")])
def test_disk(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(free, 0, free))
    assert doctor.check_disk(call(tmp_path)).state == state


def test_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_clock(call(tmp_path)).state == "ok"
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert doctor.check_clock(call(tmp_path)).state == "fail"


@pytest.mark.slow
def test_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LIBRARIES", ("nacl", "no_such_library"))
    found = doctor.check_libraries(call(tmp_path))
    assert (found.state, found.detail) == ("fail", "no_such_library: ModuleNotFoundError")
    monkeypatch.setattr(doctor, "_LIBRARIES", ("nacl", "orjson"))
    assert doctor.check_libraries(call(tmp_path)).state == "ok"


def test_one_failure_makes_the_exit_status(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_CHECKS", (doctor.check_home, doctor.check_keystore))
    capsys.readouterr()
    assert main(["doctor", "--home", str(home), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert [check["state"] for check in document["checks"]] == ["ok", "warn"]
    (home / "identity.json").chmod(0o644)
    assert main(["doctor", "--home", str(home)]) == 1
    assert "chmod 600" in capsys.readouterr().out


@pytest.mark.parametrize(("used", "state"), [(10, "ok"), (95, "warn")])
def test_where_content_is_and_how_full(home: Path, monkeypatch: pytest.MonkeyPatch, used: int, state: str) -> None:
    usage = {"backend": "kubo", "detail": "Kubo 0.43", "size_bytes": used, "quota_bytes": 100, "blocks": None}
    monkeypatch.setattr(Client, "of_home", lambda _: Client("http://127.0.0.1:1", "token"))
    monkeypatch.setattr(Client, "get", lambda *_: usage)
    assert doctor_running.check_content(call(home)).state == "ok", "nothing is known of a twin that does not run"
    (home / "api").touch()
    found = doctor_running.check_content(call(home))
    assert (found.state, "Kubo 0.43" in found.detail, f"{used}%" in found.detail) == (state, True, True)


def test_whom_the_dht_is_reached_through(
    home: Path, running_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("api", "api-token"):
        shutil.copy(running_home / name, home / name)
    assert doctor_running.check_dht(call(home)).detail == "client, 1 server can be reached"
    monkeypatch.setattr(Client, "get", lambda *_: {"servers": []})
    found = doctor_running.check_dht(call(home))
    assert (found.state, "--bootstrap" in found.hint) == ("warn", True)
    (home / "config.toml").write_text('[network]\ndht = "off"\n')
    assert doctor_running.check_dht(call(home)).state == "ok"


def test_what_waits_for_the_owner(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"name": "common", "revisions": {"adopted": 3}},
        {"name": "tides", "revisions": {"adopted": 1, "quarantined": 2}},
    ]
    monkeypatch.setattr(Client, "of_home", lambda _: Client("http://127.0.0.1:1", "token"))
    monkeypatch.setattr(Client, "get", lambda *_, **__: {"items": rows})
    assert doctor_running.check_playbooks(call(home)).state == "ok", "nothing is known of a twin that does not run"
    (home / "api").touch()
    found = doctor_running.check_playbooks(call(home))
    assert (found.state, "2 of tides" in found.detail) == ("warn", True)
    assert "pagi playbook log tides --status quarantined" in found.hint
    rows.pop()
    assert doctor_running.check_playbooks(call(home)).detail == "nothing waits for you"


def test_what_the_twin_advises_is_passed_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> dict[str, object]:
        raise ApiProblem({"detail": "Kubo does not answer", "hint": "Start Kubo.", "code": 50319, "status": 503})

    monkeypatch.setattr(Client, "of_home", lambda _: Client("http://127.0.0.1:1", "token"))
    monkeypatch.setattr(Client, "get", fails)
    (home / "api").touch()
    found = doctor._run_check(doctor_running.check_content, call(home))
    assert (found.name, found.state, found.detail, found.hint) == (
        *("content", "fail"),
        *("Kubo does not answer", "Start Kubo."),
    )
