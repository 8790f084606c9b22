from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_the_mood(pagi: Pagi) -> None:
    assert pagi.json("emotion", "set", "happy", "0.7") == {"mood": "happy", "activation_level": 0.7}
    assert "happy (0.70 of 1)" in pagi("emotion", "show")
    assert pagi.json("emotion", "show")["mood"] == "happy"
    assert pagi.json("emotion", "set", "happy", "7", status=1)["status"] in (400, 422)


def test_the_fleet(pagi: Pagi) -> None:
    assert pagi.json("fleet", "status")["stopped"] is False
    assert "Work goes on" in pagi("fleet", "status")
    stopped = pagi("fleet", "stop", "--reason", "smoke in the hall")
    assert "stopped by me" in stopped
    assert "smoke in the hall" in stopped
    assert pagi.json("fleet", "status")["stops"][0]["reason"] == "smoke in the hall"
    assert "Work goes on" in pagi("fleet", "resume")
