"""The commands of names, against the fake twin."""

import pytest

from protocols import ipns
from tests.node.cli.test_commands import FRIEND, Pagi
from tests.node.cli.test_commands import pagi as pagi


def test_show_and_publish(pagi: Pagi) -> None:
    document = pagi.json("ipfs", "name", "publish")
    assert document["published"]["sequence"] >= 1
    shown = pagi("ipfs", "name", "show")
    for part in (document["name"], document["did"], document["published"]["cid"], "fake", "common: bagc"):
        assert part in shown


def test_resolve(pagi: Pagi) -> None:
    name = str(ipns.parse_name(FRIEND))
    assert pagi.json("ipfs", "name", "resolve", "Ada")["name"] == name
    assert "called     Ada" in pagi("ipfs", "name", "resolve", FRIEND)
    assert pagi.json("ipfs", "name", "resolve", "nobody", status=1)["code"] == 40027
    with pytest.raises(SystemExit):
        pagi("ipfs", "name")
