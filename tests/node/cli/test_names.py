"""Names where DIDs stand."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from node.cli.client import Client
from node.cli.command import Call
from node.cli.errors import NameUnknown
from node.cli.names import did_of, labels

BEN, OTHER_BEN, EVA, SLY, ME = (
    f"did:key:z6Mk{end}" for end in ("benAAAAA", "benBBBBB", "evaCCCCC", "slyDDDDD", "mine")
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """An owner who has named two twins called Ben, one called Eva, and one that would like to be taken for a Ben."""
    names = {BEN: "Ben", OTHER_BEN: "ben", EVA: "Eva", SLY: "Ben~AAAAA"}
    answers: dict[str, Any] = {
        "trust": {"allow": list(names), "block": []},
        "twins": {"items": [{"did": did, "name": name} for did, name in names.items()], "next": None},
        "id": {"did": ME, "formerly": []},
    }
    monkeypatch.setattr(Client, "of_home", lambda _: Client("http://127.0.0.1:1", "token"))
    monkeypatch.setattr(Client, "get", lambda _, path, **__: answers[path])
    return Call(Namespace(), Path(), False)


def test_what_is_shown_for_a_twin_means_that_twin(call: Call) -> None:
    shown = labels(call)
    assert [shown(did) for did in (BEN, OTHER_BEN, EVA, ME)] == ["Ben~AAAAA", "ben~BBBBB", "Eva", "me"]
    assert shown(SLY) == SLY, "a name that looks like one of ours is none"
    for did in (BEN, OTHER_BEN, EVA, ME, SLY):
        assert did_of(call, shown(did)) == (did if did != ME else "me")


def test_a_name_of_several_means_none_and_says_which_there_are(call: Call) -> None:
    with pytest.raises(NameUnknown, match="write ben~AAAAA or ben~BBBBB"):
        did_of(call, "ben")
    for unknown in ("eva~BBBBB", "ben~", "~AAAAA", "ben~ZZZZZ"):
        with pytest.raises(NameUnknown, match="neither a DID"):
            did_of(call, unknown)
