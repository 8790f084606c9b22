"""identity, backup and restore as commands: what they refuse before anything is done."""

import json
from pathlib import Path

import pytest

from node.cli.main import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    assert main(["init", "--home", str(path), "--unsealed", "--json"]) == 0
    return path


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery\n")
    return str(path)


def problem(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_show_before_the_first_start(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["identity", "show", "--home", str(home), "--json"]) == 0
    shown = problem(capsys)
    assert (shown["formerly"], shown["successions"], shown["instance"]) == ([], [], None)
    assert main(["identity", "show", "--home", str(home)]) == 0
    assert str(shown["did"]) in capsys.readouterr().out


def test_a_new_key_is_made_only_if_somebody_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (home / "identity.json").read_bytes()
    assert main(["identity", "rotate", "--home", str(home), "--json"]) == 2
    assert (home / "identity.json").read_bytes() == before
    capsys.readouterr()
    assert main(["identity", "rotate", "--home", str(home), "--json", "--yes"]) == 0
    rotated = problem(capsys)
    assert main(["identity", "show", "--home", str(home), "--json"]) == 0
    shown = problem(capsys)
    assert (shown["did"], shown["formerly"]) == (rotated["did"], rotated["formerly"])


def test_nothing_is_sealed_without_a_passphrase(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", str(tmp_path / "b"), "--home", str(home), "--json"]) == 1
    assert problem(capsys)["code"] == 40190
    assert not (tmp_path / "b").exists()


def test_a_passphrase_that_anybody_guesses(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weak").write_text("1234\n")
    arguments = ["backup", str(tmp_path / "b"), "--home", str(home), "--passphrase-file", str(tmp_path / "weak")]
    assert main([*arguments, "--json"]) == 1
    assert problem(capsys)["code"] == 40013
    assert not (tmp_path / "b").exists()


def test_a_home_that_is_not_there_and_a_file_that_is_not(
    tmp_path: Path, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--home", str(tmp_path / "none"), "--passphrase-file", secret, "--json"]
    assert main(["backup", str(tmp_path / "b"), *options]) == 1
    assert problem(capsys)["code"] == 40411
    assert main(["restore", str(tmp_path / "b"), *options]) == 1
    assert problem(capsys)["code"] == 40490
    (tmp_path / "b").write_text("a text")
    assert main(["restore", str(tmp_path / "b"), *options]) == 1
    assert problem(capsys)["code"] == 40091
    assert not (tmp_path / "none").exists()
