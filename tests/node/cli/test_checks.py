from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_checks(pagi: Pagi) -> None:
    assert pagi.json("check", "run", "--playbook", "barn", status=1)["code"] == 50387
    right = pagi("check", "add", "42", "--expect", "42", "--playbook", "barn").strip()
    wrong = pagi.json("check", "add", "what is it", "--expect", "/no/", "--playbook", "barn")["id"]
    assert {row["id"] for row in pagi.json("check", "list", "--playbook", "barn")["items"]} == {right, wrong}
    assert "what is it" in pagi("check", "list", "--playbook", "barn")
    assert pagi.json("check", "add", "goal", "--expect", "/(/", status=1)["code"] == 40087
    ran = pagi("check", "run", "--playbook", "barn", status=1)
    assert f"right  {right}" in ran
    assert f"WRONG  {wrong}" in ran
    assert "1 of 2 right" in ran
    assert pagi.json("check", "run", right)["passed"] == 1
    assert "removed" in pagi("check", "remove", right)
    assert pagi.json("check", "remove", right, status=1)["code"] == 40487
    assert pagi.json("check", "run", right, status=1)["code"] == 40487
