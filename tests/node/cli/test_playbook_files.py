"""The commands that bring playbooks in and out as files, against the fake twin."""

import io
import json
import tomllib
from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


FILE = """instructions = "plan"
since = 2026-11-05
[metrics]
rate = 0.5
[[tools]]
name = "clock"
[sub_agents.templates]
team = ["planner"]
[[bullets]]
section = "habits"
text = "Measure first."
"""


def test_import_and_export(pagi: Pagi, tmp_path: Path) -> None:
    path = tmp_path / "playbook.toml"
    path.write_text(FILE)
    shown = pagi("playbook", "import", str(path), "--name", "files", "--dry-run")
    assert shown.splitlines() == [
        "setting instructions: plan",
        "setting since: 2026-11-05",
        "tool clock: {}",
        "template team: ['planner']",
        "metric rate: one observation of 0.5",
        "+ [habits] Measure first.",
    ]
    assert "a date is kept as text" in pagi.err
    assert "6 changes of files; nothing was changed" in pagi.err
    cid = pagi("playbook", "import", str(path), "--name", "files", "--critique", "from a file").strip()
    assert pagi.json("playbook", "log", "files")["items"][0]["cid"] == cid
    pagi("playbook", "import", str(path), "--name", "files")
    assert "says all that already" in pagi.err
    exported = pagi("playbook", "export", "files")
    assert tomllib.loads(exported)["bullets"][0]["text"] == "Measure first."
    out = tmp_path / "out.json"
    assert pagi.json("playbook", "export", "files", "--form", "json", "-o", str(out))["file"] == str(out)
    assert json.loads(out.read_text())["instructions"] == "plan"
    artifact = pagi("playbook", "export", "files", "--artifact", cid)
    assert tomllib.loads(artifact)["critique"] == "from a file"
    assert tomllib.loads(pagi.json("playbook", "export", "files")["text"])["instructions"] == "plan"
    shorter = exported.replace("Measure first.", "Measure twice.").replace('since = "2026-11-05"\n', "")
    path.write_text(shorter)
    lines = pagi("playbook", "import", str(path), "--name", "files", "--dry-run").splitlines()
    assert lines[0] == "setting since: taken out"
    assert lines[1] == "- [habits] Measure first."
    assert lines[2] == "+ [habits] Measure twice."


def test_import_from_stdin(pagi: Pagi, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"twin_id": "x", "critique": "hm", "playbook": "piped", "updated_playbook": {"a": 1}})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    taken = pagi.json("playbook", "import", "-")
    assert (taken["playbook"], taken["critique"], len(taken["revisions"])) == ("piped", "hm", 1)


def test_what_cannot_be_imported_or_written(pagi: Pagi, tmp_path: Path) -> None:
    path = tmp_path / "playbook.toml"
    path.write_text("a = nan")
    assert pagi.json("playbook", "import", str(path), status=1)["code"] == 40055
    pagi("playbook", "import", str(path), status=1)
    assert "'a'" in pagi.err
    assert pagi.json("playbook", "import", str(tmp_path / "none"), status=1)["code"] == 40490
    assert pagi.json("playbook", "export", "-o", str(tmp_path / "no" / "where"), status=1)["code"] == 40490


def test_the_git_repository(pagi: Pagi) -> None:
    """The fake twin has one thing to pull and one to push, whichever test comes first."""
    assert pagi("playbook", "pull").startswith("b")
    assert "4b825dc642cb: 1 new revision." in pagi.err
    assert pagi("playbook", "pull") == ""
    assert "Not taken: playbook.toml: not TOML" in pagi.err
    assert pagi("playbook", "push").startswith("swarm/improvement/")
    assert pagi("playbook", "push", "common") == ""
    assert "Nothing new" in pagi.err
    shown = pagi("playbook", "git")
    assert "https://git.example.org/hive, branch main" in shown
    assert "The last attempt failed: nobody answers" in pagi.err
    assert pagi.json("playbook", "git")["base_branch"] == "main"
    assert pagi.json("playbook", "pull", "other", status=1)["code"] == 40954
