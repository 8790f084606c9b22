"""`pagi memory` against a real twin: what is forgotten is nowhere in the home, and private things reach nobody."""

from pathlib import Path
from typing import Any

import pytest

from tests.node.processes import Machine, Process, pagi

pytestmark = pytest.mark.slow

SECRET = "The zebrawood casket is hidden under the heliotrope"
RARE = (b"zebrawood", b"heliotrope")


@pytest.fixture
def twin(machine: Machine) -> Process:
    twin = machine.twin("ada")
    twin.start()
    return twin


def memory(twin: Process, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = pagi("memory", *arguments, "--home", str(twin.home), "--json")
    assert done.status == status, done.stderr
    return done.document


def holding(home: Path) -> list[str]:
    """The files of a home that have one of the rare words, in any case."""
    files = (path for path in home.rglob("*") if path.is_file())
    return [str(path.relative_to(home)) for path in files if any(word in path.read_bytes().lower() for word in RARE)]


def test_what_is_forgotten_is_nowhere_in_the_home(twin: Process) -> None:
    kept = memory(twin, "add", "The bridge of Linnholm is ninety metres long")["id"]
    first = memory(twin, "add", SECRET)["id"]
    second = memory(twin, "add", SECRET.lower(), "--namespace", "recipes")["id"]
    asked = pagi("ask", "Where is the zebrawood casket hidden?", "--home", str(twin.home), "--json")
    assert "heliotrope" in asked.stdout.lower()
    assert holding(twin.home) != []

    would = memory(twin, "forget", "--query", "zebrawood casket", status=1)  # without --yes it is only shown
    assert (would["forgotten"], would["memories"] >= 2) == (False, True)
    assert {first, second} <= {row["id"] for row in would["items"]}
    done = memory(twin, "forget", "--query", "zebrawood casket", "--yes")
    assert done["forgotten"]
    assert done["jobs"] == 1
    assert done["held"] == []
    assert holding(twin.home) == []  # while it runs

    assert memory(twin, "search", "zebrawood casket")["items"][0]["id"] == kept
    memory(twin, "forget", first, status=1)
    twin.stop()
    assert holding(twin.home) == []
    twin.start()
    assert [row["content"] for row in memory(twin, "list", "--namespace", "recipes")["items"]] == []
    assert holding(twin.home) == []


def test_the_order_of_the_memory_is_shown_and_set(twin: Process) -> None:
    listed = memory(twin, "namespaces")["items"]
    assert {"soul", "domain", "body", "heart", "mind"} <= {row["name"] for row in listed}
    changed = memory(twin, "namespaces", "set", "recipes", "shared")["items"]
    assert next(row["privacy"] for row in changed if row["name"] == "recipes") == "shared"
    assert memory(twin, "namespaces", "set", "private", "shared", status=1)["code"] == 40936
    pagi("ask", "My sister is called Ana.", "--home", str(twin.home))
    told = memory(twin, "list", "--source", "told")["items"]
    assert [row["content"] for row in told] == ["My sister is called Ana"]
    shown = memory(twin, "show", told[0]["id"])
    assert len(shown["made_from"]) == 1
    assert memory(twin, "consolidate")["interrupted"] is False
    assert memory(twin, "episodes", "today")["items"] == []  # the conversation may go on
    assert memory(twin, "index")["waiting"] == 0
    people = pagi("memory", "search", "sister", "--why", "--home", str(twin.home))
    assert "likeness" in people.stdout
