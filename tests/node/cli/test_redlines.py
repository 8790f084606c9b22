from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_red_lines(pagi: Pagi) -> None:
    phrase = pagi("redlines", "add", "eat the seeds").partition(":")[0]
    pattern = pagi.json("redlines", "add", "/se+ds/")
    meaning = pagi.json("redlines", "add", "--meaning", "Let nothing grow.")
    assert (pattern["kind"], pattern["text"], meaning["kind"]) == ("pattern", "se+ds", "meaning")
    assert {phrase, pattern["id"], meaning["id"]} <= {line["id"] for line in pagi.json("redlines", "list")["items"]}
    assert "eat the seeds" in pagi("redlines", "list")
    assert pagi.json("redlines", "add", "/(/", status=1)["code"] == 40086
    assert "crosses" in pagi("redlines", "test", "never eat the seeds", status=1)
    assert "is like (0.50)" in pagi("redlines", "test", "Let nothing grow.", status=1)
    assert "crosses none" in pagi("redlines", "test", "Water them.")
    for line in (phrase, pattern["id"], meaning["id"]):
        assert "off the list" in pagi("redlines", "remove", line)
    assert pagi.json("redlines", "remove", phrase, status=1)["code"] == 40486
