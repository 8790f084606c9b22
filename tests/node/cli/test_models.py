"""The commands of models, against a fake twin over HTTP, and which model a start begins with."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.cli import models
from node.cli.main import main
from node.cli.model import starting_model
from node.inference.choice import Choice, remember_choice
from node.inference.errors import ModelMissing


class Pagi:
    """Runs commands in this process, as a person would type them."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        got = main(["--home", str(self._home), "model", *words])
        out, err = self._capsys.readouterr()
        assert got == status, (got, out, err)
        return out + err

    def json(self, *words: str) -> Any:
        assert main(["--home", str(self._home), "model", *words, "--json"]) == 0
        return json.loads(self._capsys.readouterr().out)


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_a_model_is_added_used_and_removed(pagi: Pagi) -> None:
    said = pagi("add", "owner/repo", "--name", "mine", "--use")
    assert "mine" in said
    assert "licence apache-2.0" in said
    listed = pagi("list")
    assert next(line for line in listed.splitlines() if "mine" in line).startswith("*")
    assert "2.0 billion" in listed
    assert "pagi model add owner/big:b.gguf --name big" in listed
    assert "half of 2 cores" in listed
    assert "Use another one first" in pagi("remove", "mine", status=1)
    pagi("use", "bundled")
    assert "mine is removed." in pagi("remove", "mine")
    assert [item["name"] for item in pagi.json("list")["items"]] == ["bundled"]


def test_json_is_one_document_and_progress_goes_to_stderr(pagi: Pagi) -> None:
    added = pagi.json("add", "/tiny.gguf")
    assert (added["name"], added["capable"]) == ("tiny", True)
    assert pagi.json("use", "tiny")["fit"]["threads"] == 1
    assert pagi.json("use", "none")["loading"] is False
    assert pagi.json("remove", "tiny") == {"name": "tiny"}


def test_each_stage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show = models._shower("owner/repo")
    for stage, done in (("fetching", 1), ("fetching", 2), ("checking", 2), ("dreaming", 2)):
        show({"stage": stage, "size_bytes": done, "total_bytes": 2})
    out, err = capsys.readouterr()
    assert out == ""
    assert "Fetching owner/repo: 2 bytes of 2 bytes (100 %)" in err
    assert "Checking owner/repo: 2 bytes of 2 bytes (100 %)" in err


def test_what_goes_wrong_says_what_to_do(pagi: Pagi) -> None:
    assert "goes on where it was" in pagi("add", "owner/cut", status=1)
    assert "pagi model list" in pagi("use", "nobody", status=1)
    assert "OWNER/REPO:FILE" in pagi("add", "nonsense", status=1)


def test_a_start_begins_with_the_model_that_was_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, configured = tmp_path / "chosen.gguf", tmp_path / "configured.gguf"
    file.touch()
    configured.touch()
    assert starting_model(tmp_path, str(configured)) == configured
    remember_choice(tmp_path, Choice(model=str(file), instead_of=str(configured)))
    assert starting_model(tmp_path, str(configured)) == file
    assert starting_model(tmp_path, "none") is None
    file.unlink()
    assert starting_model(tmp_path, str(configured)) == configured
    assert "is gone" in capsys.readouterr().err
    configured.unlink()
    with pytest.raises(ModelMissing):
        starting_model(tmp_path, str(configured))
    (tmp_path / "chosen.json").write_text("{")
    assert starting_model(tmp_path, "none") is None
