import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi

CID = re.compile(r"b[a-z2-7]{58,}")


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


@pytest.fixture
def teach(pagi: Pagi) -> Callable[[str, str], str]:
    """Propose one bullet and give the revision's CID."""

    def propose(name: str, text: str) -> str:
        words = ("playbook", "propose", name, "--critique", "why not", "--add", "manners", text)
        cid: str = pagi.json(*words)["cid"]
        return cid

    return propose


def test_a_playbook_as_people_read_it(pagi: Pagi, teach: Callable[[str, str], str]) -> None:
    teach("reading", "Thank whoever answered.\nSay so.")
    (bullet,) = pagi.json("playbook", "show", "reading")["bullets"]
    shown = pagi("playbook", "show", "reading").splitlines()
    assert shown[0] == "reading, version 1: 1 bullet"
    assert shown[2:6] == [
        "manners",
        "  ▲0 ▼0    Thank whoever answered.",
        "           Say so.",
        f"           taught by me · {bullet['id']}",
    ]
    assert "--toml" in shown[-1]
    assert "[[bullets]]" in pagi("playbook", "show", "reading", "--toml")
    names = [row["name"] for row in pagi.json("playbook", "list")["items"]]
    assert "reading" in names
    assert "reading" in pagi("playbook", "list")


def test_a_playbook_that_others_have_is_offered_and_followed(pagi: Pagi) -> None:
    (offer,) = pagi.json("playbook", "list")["offered"]
    assert offer["name"] == "kilns"
    assert pagi.json("playbook", "follow", "kilns")["version"] == 0
    assert pagi.json("playbook", "list")["offered"] == []
    assert pagi.json("playbook", "follow", "No Name", status=1)["code"] == 40010


def test_a_revision_is_shown_wherever_it_belongs(pagi: Pagi, teach: Callable[[str, str], str]) -> None:
    cid = teach("shown", "Name the unit.")
    assert CID.fullmatch(cid)
    shown = pagi("playbook", "show", cid)
    for part in (f"{cid} of shown", "What it changes", "How it was judged", "author", "passed", "written here"):
        assert part in shown
    assert "1 right without it, 2 with it" in shown
    assert "1 of 1 goal that it fits went well" in shown
    assert pagi.json("playbook", "show", cid)["playbook"] == "shown"
    (bullet,) = pagi.json("playbook", "show", "shown")["bullets"]
    assert pagi.json("playbook", "show", bullet["id"])["cid"] == cid
    assert pagi.json("playbook", "show", "b" + "a" * 32, status=2)["detail"].startswith("no bullet")
    assert pagi.json("playbook", "show", cid, "--name", "common", status=1)["code"] == 40451
    assert pagi.json("playbook", "show", "b" + "a" * 60, status=1)["code"] == 40002


def test_the_log_says_who_taught_what_and_how_it_did(pagi: Pagi, teach: Callable[[str, str], str]) -> None:
    cid = teach("logged", "Name the unit.")
    shown = [line.strip() for line in pagi("playbook", "log", "logged").splitlines()]
    assert shown[0] == "adopted      me: why not"
    assert shown[1] == "+ a line"
    assert shown[2].endswith("▲0 ▼0")
    assert shown[3] == cid
    assert "pagi playbook reject" in pagi.err
    (row,) = pagi.json("playbook", "log", "logged")["items"]
    assert (row["changes"], row["bullets"][0]["text"]) == (["+ a line"], "Name the unit.")
    assert "Nothing of nowhere is known" in pagi("playbook", "show", "nowhere")


def test_decisions(pagi: Pagi, teach: Callable[[str, str], str]) -> None:
    cid = teach("decided", "Name the unit.")
    for share in ((), ("0.3",), ("30%",)):
        assert "decided is at version" in pagi("playbook", "approve", cid, "--canary", *share)
    for given in (cid, pagi.json("playbook", "show", "decided")["bullets"][0]["id"]):
        decided = pagi("playbook", "reject", given)
        assert "taught by me:" in decided
        assert "+ a line" in decided
        assert f"{cid}` takes that back" in pagi.err
    assert "no bullet" in pagi.json("playbook", "reject", "b" + "a" * 32, status=2)["detail"]
    with pytest.raises(SystemExit):
        pagi("playbook", "approve", cid, "--canary", "2")
    me = pagi.json("id")["did"]
    assert pagi.json("playbook", "reject", "--author", me, "--name", "decided")["rejected"] == 1
    assert "of decided: 1 revision by" in pagi("playbook", "reject", "--author", me, "--name", "decided")
    for words in ((), (cid, "--author", me)):
        assert pagi.json("playbook", "reject", *words, status=2)["detail"].startswith("name a revision")


def test_bullets_that_say_the_same(pagi: Pagi, teach: Callable[[str, str], str]) -> None:
    teach("twice", "Name the unit.")
    assert "No two bullets" in pagi("playbook", "duplicates", "twice")
    assert pagi.json("playbook", "split", "a", "b", "--name", "twice", status=1)["code"] == 40488
