"""Two strangers' twins that share only a relay improve one playbook, and a stock Kubo pins it and serves it on.

Everything happens in processes of their own and through their own interfaces, as the owners would do it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.kubo import Kubo, running_kubo
from tests.node.processes import Machine, Process, name_each_other, pagi, wait_until

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

RULE = "Weigh flour before you mill it, for damp grain weighs more."
OTHER_RULE = "Dress the stones after every forty tonnes."


@pytest.fixture
def kubo(tmp_path: Path) -> Iterator[Kubo]:
    """The peer; where there is none, the test is skipped, or fails if PAGI_REQUIRE_PEERS=1."""
    binary = os.environ.get("PAGI_TEST_KUBO")
    if not binary:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail("PAGI_REQUIRE_PEERS=1, but PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
        pytest.skip("PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
    with running_kubo(Path(binary), tmp_path / "kubo") as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.discard_all()


def owner(twin: Process, *arguments: str) -> str:
    """What the twin's owner reads after a command."""
    done = pagi(*arguments, "--home", str(twin.home))
    assert done.status == 0, done.stderr
    return done.stdout


def playbook(twin: Process) -> dict[str, Any]:
    return twin.client.get("playbooks", "common")


def same_playbook(*twins: Process) -> dict[str, Any] | None:
    states = [playbook(twin) for twin in twins]
    return states[0] if len({state["state_hash"] for state in states}) == 1 else None


def texts(twin: Process) -> list[str]:
    return [bullet["text"] for bullet in playbook(twin)["bullets"]]


def test_strangers_improve_a_playbook_that_a_kubo_keeps(machine: Machine, kubo: Kubo) -> None:
    relay = machine.relay()
    relay.start()
    ada, bela, cleo = (
        machine.twin(name, "--bootstrap", relay.address, config="[mind]\n") for name in ("ada", "bela", "cleo")
    )
    for twin in (ada, bela):
        twin.start()
    name_each_other(ada, bela)

    # They improve it together, with nothing between them but the relay.
    owner(ada, "playbook", "propose", "--critique", "Two sacks were short.", "--add", "milling", RULE)
    wait_until(lambda: RULE in texts(bela) or None, "Ada's lesson at Bela's")
    (bullet,) = playbook(bela)["bullets"]
    owner(bela, "playbook", "propose", "--critique", "It helped here.", "--helpful", bullet["id"])
    taught = owner(bela, "playbook", "propose", "--critique", "So I learned.", "--add", "stones", OTHER_RULE).strip()
    agreed = wait_until(lambda: same_playbook(ada, bela) if OTHER_RULE in texts(ada) else None, "one playbook")

    # A stock Kubo pins it, and has all of it when both are gone.
    kubo.ipfs("swarm", "connect", ada.address)
    for head in agreed["heads"]:
        kubo.ipfs("pin", "add", "--recursive", head)
    (head,) = agreed["heads"]
    revision = kubo.document("dag", "get", f"{head}/link")
    assert (revision["author"], revision["critique"]) == (bela.did, "So I learned.")
    everything = json.loads(owner(ada, "playbook", "log", "--json"))["items"]
    pinned = kubo.lines("refs", "--offline", "--recursive", head)
    assert {item["cid"] for item in everything} <= {head, *pinned}

    # The owner sees who taught what and how it did, and takes it back.
    shown = owner(ada, "playbook", "show")
    assert RULE in shown
    assert OTHER_RULE in shown
    assert "bela" in shown.lower()
    assert "adopted" in owner(ada, "playbook", "show", taught)
    owner(ada, "playbook", "reject", taught)
    assert texts(ada) == [RULE]
    assert playbook(ada)["bullets"][0]["helpful"] == 1

    # The Kubo serves it to somebody who comes later, when both are away.
    for twin in (ada, bela):
        assert twin.stop() == 0
    cleo.start()
    cleo.client.post("swarm", "connect", body={"multiaddr": kubo.address()})
    owner(cleo, "ipfs", "pin", head)
    car = machine.folder / "playbook.car"
    owner(cleo, "ipfs", "export", head, str(car))
    assert car.stat().st_size > 1000
