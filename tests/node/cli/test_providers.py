"""The commands of providers and of the budget."""

from io import StringIO
from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_providers(pagi: Pagi, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-quetzal\n")
    added = pagi.json("provider", "add", "cloud", "--model", "clever", "--key-file", str(key), "--price-in", "2.5")
    assert (added["kind"], added["base_url"], added["has_key"]) == ("openai", "https://api.openai.com/v1", True)
    said = pagi("provider", "add", "ollama", "--url", "http://127.0.0.1:11434/v1", "--model", "small", "--not-capable")
    assert "without a key" in said
    assert "Private memories do not go there" in said
    claude = pagi.json(
        "provider", "add", "claude", "--kind", "anthropic", "--model", "m", "--sees", "private", "--no-key"
    )
    assert (claude["base_url"], claude["sees_private"]) == ("https://api.anthropic.com", True)
    assert "its key" not in pagi("provider", "order", "ollama", "claude")
    listed = pagi.json("provider", "list")["items"]
    assert [one["name"] for one in listed] == ["ollama", "claude", "cloud", "local"]
    changed = pagi.json("provider", "change", "cloud", "--model", "cleverer", "--sees", "nothing-private")
    assert (changed["model"], changed["price_in"], changed["has_key"]) == ("cleverer", 2.5, True)
    assert "sees private" in pagi("provider", "list").lower()
    assert "answered in" in pagi("provider", "test", "cloud")
    assert pagi.json("provider", "test", "local")["ok"] is True
    pagi("provider", "change", "cloud", "--model", "absent")
    assert "does not answer" in pagi("provider", "test", "cloud", status=1)
    assert pagi.json("provider", "change", "nobody", "--model", "x", status=1)["code"] == 40428
    assert pagi.json("provider", "add", "cloud", "--model", "x", "--no-key", status=1)["code"] == 40928
    (tmp_path / "empty").write_text("\n")
    options = ("--model", "x", "--key-file", str(tmp_path / "empty"))
    assert pagi.json("provider", "add", "x", *options, status=2)["code"] == 40090
    for name in ("cloud", "ollama", "claude"):
        assert "forgotten" in pagi("provider", "remove", name)
    assert pagi.json("provider", "remove", "cloud", status=1)["code"] == 40428


def test_what_was_said_of_its_size_can_be_taken_back(pagi: Pagi) -> None:
    url = ("--url", "http://127.0.0.1:11434/v1")
    assert pagi.json("provider", "add", "own", "--model", "m", "--no-key", "--not-capable", *url)["capable"] is False
    assert pagi.json("provider", "change", "own", "--model", "large")["capable"] is False
    assert pagi.json("provider", "change", "own", "--capable")["capable"] is True


@pytest.mark.parametrize("price", ["nan", "inf", "-1", "1e999", "dear"])
def test_a_price_is_a_number(pagi: Pagi, capsys: pytest.CaptureFixture[str], price: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        pagi("provider", "add", "own", "--model", "m", "--no-key", f"--price-in={price}")
    assert "a number from 0 on" in capsys.readouterr().err


def test_a_person_is_asked_for_the_key_whatever_the_address(pagi: Pagi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: "sk-quetzal")
    url = ("--url", "https://api.example.com/v1", "--model", "m")
    assert pagi.json("provider", "add", "asked", *url)["has_key"] is True
    assert pagi.json("provider", "add", "unasked", "--no-key", *url)["has_key"] is False


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_budget(pagi: Pagi) -> None:
    document = pagi.json("budget", "--session", "greedy")
    assert (document["state"], len(document["scopes"]), len(document["items"])) == ("throttled", 3, 2)
    said = pagi("budget")
    assert "500 of 1000" in said
    assert "today (UTC)" in said
