"""The commands of pins with others, against a fake twin over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from node.cli.main import main

HOST = did_key(KeyPair(bytes(32)).public)
TIDE = str(Cid.of(CODEC_RAW, b"the tide comes in"))


class Pagi:
    """Runs commands in this process, as a person would type them."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        got = main(["--home", str(self._home), "ipfs", *words])
        out, err = self._capsys.readouterr()
        assert got == status, (got, out, err)
        return out + err

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_a_host_is_asked_listed_and_told_that_it_is_over(pagi: Pagi) -> None:
    assert "is being asked" in pagi("pin", TIDE, "--at", HOST, "--name", "tides")
    (pin,) = pagi.json("pins", "--at", "all")["items"]
    assert (pin["cid"], pin["host"], pin["name"], pin["status"]) == (TIDE, HOST, "tides", "asking")
    assert TIDE in pagi("pins", "--at", HOST)
    assert pagi.json("unpin", TIDE, "--at", HOST) == {"unpinned": [TIDE], "host": HOST}
    assert "Nobody keeps anything" in pagi("pins", "--at", "all")
    assert "was not asked to keep" in pagi("unpin", TIDE, "--at", HOST, status=1)


def test_the_relay_is_a_host_of_that_name(pagi: Pagi) -> None:
    relay = pagi.json("pin", TIDE, "--at", "relay")["host"]
    assert relay.startswith("did:")
    assert [pin["host"] for pin in pagi.json("pins", "--at", "relay")["items"]] == [relay]
    listed = pagi("pins", "--at", "all")
    assert f"{TIDE}  relay" in listed
    assert relay not in listed


def test_a_name_that_is_nobodys_is_no_host(pagi: Pagi) -> None:
    assert "is neither a DID nor the name" in pagi("pin", TIDE, "--at", "nobody", status=2)


def test_what_is_kept_for_others(pagi: Pagi) -> None:
    assert [pin["name"] for pin in pagi.json("hosted")["items"]] == ["tides"]
    assert "tides" in pagi("hosted")
