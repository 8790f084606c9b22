"""Making a home: who is made, where the passphrase comes from, and that a second time touches nothing."""

import json
import stat
from pathlib import Path

import pytest

from identity import keystore
from identity.did import peer_id_of_did
from node.cli import passphrase
from node.cli.errors import BadInput, FileUnreadable, NoPassphrase
from node.cli.main import main


@pytest.fixture(autouse=True)
def cheap_kdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2id at its least: these tests seal no secret worth anything."""
    least = keystore.Kdf(1, 8192)
    monkeypatch.setattr(keystore.create, "__kwdefaults__", {"kdf": least})


def secret_file(folder: Path, text: str = "correct horse battery\n") -> str:
    path = folder / "passphrase"
    path.write_text(text)
    return str(path)


def test_init_prints_who_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "deep" / "home"
    assert main(["init", "--home", str(home), "--name", "Ada", "--unsealed", "--json"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    kept = keystore.load(home / "identity.json", lambda: None)
    assert made == {"did": kept.did, "peer_id": peer_id_of_did(kept.did), "home": str(home)}
    assert not kept.sealed
    assert "NOT sealed" in err
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "identity.json").stat().st_mode) == 0o600
    assert 'name = "Ada"' in (home / "config.toml").read_text()


def test_init_seals_by_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert main(["init", "--home", str(home), "--passphrase-file", secret_file(tmp_path)]) == 0
    assert keystore.load(home / "identity.json", lambda: "correct horse battery").sealed
    assert "DID      did:key:z6Mk" in capsys.readouterr().out
    assert not (home / "config.toml").exists()


def test_a_second_init_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path / "home")
    assert main(["init", "--home", home, "--unsealed", "--name", "Ada"]) == 0
    before = {path: path.read_bytes() for path in Path(home).rglob("*") if path.is_file()}
    assert main(["init", "--home", home, "--unsealed", "--name", "Eve", "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == 40911
    assert {path: path.read_bytes() for path in Path(home).rglob("*") if path.is_file()} == before


def test_unattended_init_must_say_unsealed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert main(["init", "--home", str(home), "--json"]) == 1
    assert "--unsealed" in json.loads(capsys.readouterr().out)["hint"]
    assert not home.exists()


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb"])
def test_names_are_bounded(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--home", str(tmp_path / "home"), "--unsealed", "--name", name]) == 2
    assert "--name" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_systemd_gives_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / passphrase.CREDENTIAL).write_text("from systemd\r\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert passphrase.for_new_home(None, unsealed=False, must_say_unsealed=True) == "from systemd"
    assert passphrase.for_existing_home(None)() == "from systemd"
    assert passphrase.for_existing_home(secret_file(tmp_path))() == "correct horse battery"


def test_a_passphrase_file_is_checked(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable):
        passphrase.for_existing_home(str(tmp_path / "none"))()
    with pytest.raises(BadInput, match="first line"):
        passphrase.for_existing_home(secret_file(tmp_path, "\nsecond line\n"))()
    with pytest.raises(BadInput, match="contradict"):
        passphrase.for_new_home(secret_file(tmp_path), unsealed=True, must_say_unsealed=True)


def test_at_a_terminal_a_person_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["short", "x" * 2000, "long enough", "long enough", "one thing", "another thing", "opens"])
    monkeypatch.setattr(passphrase, "_can_ask", lambda: True)
    monkeypatch.setattr(passphrase, "_ask", lambda prompt: next(answers))
    assert passphrase.for_new_home(None, unsealed=False, must_say_unsealed=True) == "long enough"
    with pytest.raises(BadInput, match="not the same"):
        passphrase.for_new_home(None, unsealed=False, must_say_unsealed=True)
    assert passphrase.for_existing_home(None)() == "opens"


def test_with_nobody_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoPassphrase):
        passphrase.for_new_home(None, unsealed=False, must_say_unsealed=True)
    assert passphrase.for_new_home(None, unsealed=False, must_say_unsealed=False) is None
    assert "WARNING" in capsys.readouterr().err
    assert passphrase.for_existing_home(None)() is None
