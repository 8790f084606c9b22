"""The kill switch between real processes: one owner's key stops two other twins, a stranger's message stops nobody."""

from typing import Any

import pytest

from node.cli.client import Client
from node.cli.errors import ApiProblem
from tests.node.processes import Machine, Process, pagi, wait_until

pytestmark = pytest.mark.slow


def stops(twin: Process) -> list[dict[str, Any]]:
    return list(twin.client.get("fleet")["stops"])


def test_one_owners_key_stops_the_fleet_and_lets_it_go_on(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    boss = machine.twin("boss", "--bootstrap", relay.address)
    boss.start()
    owned = f"[mind]\nowners = ['{boss.did}']\n"
    first, second = (machine.twin(name, "--bootstrap", relay.address, config=owned) for name in ("first", "second"))
    stranger = machine.twin("stranger", "--bootstrap", relay.address)
    for twin in (first, second, stranger):
        twin.start()
    for twin in (first, second):
        wait_until(
            lambda twin=twin: {boss.did, stranger.did} <= _seen(twin.client) or None,
            "they meet",
        )

    assert pagi("fleet", "stop", "--reason", "mine", "--home", str(stranger.home), "--json").document["stopped"]
    stopped = pagi("fleet", "stop", "--reason", "smoke in the hall", "--home", str(boss.home))
    assert stopped.status == 0
    for twin in (first, second):
        (stop,) = wait_until(lambda twin=twin: stops(twin) or None, "it stops")
        assert (stop["by"], stop["reason"]) == (boss.did, "smoke in the hall")
        with pytest.raises(ApiProblem) as refused:
            twin.client.post("interact", body={"goal": "What is 2 + 3?"})
        assert refused.value.document["code"] == 50339
        with pytest.raises(ApiProblem):
            twin.client.post("tools", "calculator", "execute", body={"parameters": {"expression": "2+3"}})

    # It stands after a crash, and neither the stranger nor the twin itself can take it back.
    second.kill()
    second.start()
    assert [stop["by"] for stop in stops(second)] == [boss.did]
    assert pagi("fleet", "resume", "--home", str(stranger.home)).status == 0
    assert pagi("fleet", "resume", "--home", str(second.home), "--json").document["stopped"]
    assert [stop["by"] for stop in stops(first)] == [boss.did]

    # A twin that was away when the order was given hears it when it comes back.
    first.kill()
    assert pagi("fleet", "resume", "--home", str(boss.home), "--json").document["stopped"] is False
    first.start()
    for twin in (first, second):
        wait_until(lambda twin=twin: None if stops(twin) else True, "it goes on")
        assert twin.client.post("interact", body={"goal": "What is 2 + 3?"})["status"] == "done"
    heard = [entry["event_type"] for entry in first.client.get("events", "log", query={"limit": 500})["items"]]
    assert heard.count("fleet_stopped") == 1


def _seen(client: Client) -> set[str]:
    return {twin["did"] for twin in client.get("twins")["items"]}
