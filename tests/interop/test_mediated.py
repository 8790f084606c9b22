"""A foreign DIDComm agent and our relay as a mediator, over HTTP: npm didcomm-node wraps and unwraps.

Once the agent writes through the relay to a twin that is away; once the relay keeps what the twin writes to the agent,
which fetches it by message pickup of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from protocols.conversations import basicmessage, pickup
from tests.interop.http_agent import Agent
from tests.node.processes import Machine, Process, free_port, wait_until

pytestmark = [pytest.mark.node_js, pytest.mark.slow]

PRIVATE = "[network]\nallow_private_addresses = true\n"
COUNT = 12


@dataclass(frozen=True, slots=True)
class Place:
    """A relay with a public URL, and a twin whose mail it keeps."""

    relay: Process
    url: str
    twin: Process

    @property
    def relay_web_did(self) -> str:
        return "did:web:" + self.url.removeprefix("http://").replace(":", "%3A")

    def wait_mediated(self) -> dict[str, Any]:
        """How the twin stands with the relay, once that keeps its mail and brought what it had."""

        def settled() -> dict[str, Any] | None:
            (item,) = self.twin.client.get("didcomm", "mediators")["items"]
            return item if item["state"] == "granted" and item["waiting"] == 0 else None

        return wait_until(settled, "mediation", timeout_s=30)

    def inbox_of(self, sender: str) -> list[dict[str, Any]]:
        """What came from one sender, oldest first."""
        items = self.twin.client.get("didcomm", "inbox", query={"limit": 500})["items"]
        return [item for item in reversed(items) if item["from"] == sender]

    def outbox_of(self, recipient: str) -> list[dict[str, Any]]:
        """What was written to one recipient, oldest first."""
        items = self.twin.client.get("didcomm", "outbox", query={"limit": 500})["items"]
        return [item for item in reversed(items) if item["to"] == recipient]


@pytest.fixture
def agent(http_agent: Any) -> Agent:
    return Agent(http_agent)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    machine = Machine(tmp_path_factory.mktemp("mediated"))
    host = f"127.0.0.1:{free_port()}"
    relay = machine.relay("--public", host, "--public-url", f"http://{host}")
    relay.start()
    twin = machine.twin("ada", "--bootstrap", relay.address, config=PRIVATE)
    twin.start()
    yield Place(relay, f"http://{host}", twin)
    machine.discard_all()


def test_it_writes_through_our_mediator_to_a_twin_that_is_away(place: Place, agent: Agent) -> None:
    agent.be("peer")
    granted = place.wait_mediated()
    made = place.twin.client.post("didcomm", "invitation", body={})
    document = agent.do("resolve", did=made["did"])["document"]
    (endpoint,) = [service["serviceEndpoint"] for service in document["service"]]
    assert endpoint["uri"] == f"{place.url}/didcomm"
    assert endpoint["routingKeys"] == [granted["routing_did"]]
    place.wait_mediated()
    place.twin.stop()
    for number in range(COUNT):
        sent = agent.say(made["did"], f"message {number}", pthid=made["id"], id=f"kept-{number}")
        assert (sent["url"], sent["status"]) == (endpoint["uri"], 202)
    assert agent.say(made["did"], "message 0", pthid=made["id"], id="kept-0")["status"] == 202, "it repeats itself"
    place.twin.start()
    came = wait_until(lambda: came if len(came := place.inbox_of(agent.did)) >= COUNT else None, "the kept messages")
    place.wait_mediated()
    came = place.inbox_of(agent.did)
    assert [item["body"]["content"] for item in came] == [f"message {number}" for number in range(COUNT)]
    assert {item["via"] for item in came} == {"mediator"}
    assert "request" not in {item["status"] for item in came}, "the invitation has named it"


def test_what_comes_live_through_our_mediator_is_there_at_once(place: Place, agent: Agent) -> None:
    agent.be("peer")
    place.wait_mediated()
    made = place.twin.client.post("didcomm", "invitation", body={})
    assert agent.say(made["did"], "live", pthid=made["id"])["status"] == 202
    (item,) = wait_until(lambda: place.inbox_of(agent.did) or None, "the message", timeout_s=20)
    assert item["via"] == "mediator"
    answer = {"to": agent.did, "type": basicmessage.MESSAGE, "body": {"content": "heard"}, "wait_s": 20}
    assert place.twin.client.post("didcomm", "send", body=answer)["status"] == "delivered"
    (entry,) = agent.got(basicmessage.MESSAGE)
    assert entry["message"]["from"] == made["did"]


@pytest.mark.parametrize(("coordination", "version"), [("3.0", "4.0"), ("2.0", "3.0")])
def test_our_relay_keeps_its_mail(place: Place, agent: Agent, coordination: str, version: pickup.Version) -> None:
    agent.be("peer")
    behind = agent.do("mediate", by=place.relay_web_did, version=coordination)
    assert behind["routing_did"] == place.relay.first_line["mediator"]
    for number in range(5):
        body = {"to": behind["did"], "type": basicmessage.MESSAGE, "body": {"content": f"message {number}"}}
        place.twin.client.post("didcomm", "send", body=body)

    def taken() -> list[dict[str, Any]] | None:
        rows = place.outbox_of(behind["did"])
        return rows if all(row["status"] == "delivered" for row in rows) else None

    rows = wait_until(taken, "the relay to take them")
    assert {row["via"] for row in rows} == {f"mediator {behind['routing_did']} ({place.url})"}
    fetched = agent.do("pick_up", version=version, limit=2)
    assert fetched["counts"] == [5, 3, 1, 0]
    assert sorted(entry["message"]["body"]["content"] for entry in fetched["messages"]) == [
        f"message {number}" for number in range(5)
    ]
    assert all(entry["metadata"]["authenticated"] for entry in fetched["messages"])
    assert agent.do("pick_up", version=version, limit=2) == {"counts": [0], "messages": []}


def test_nobody_fetches_what_is_kept_for_another(place: Place, agent: Agent) -> None:
    agent.be("peer")
    behind = agent.do("mediate", by=place.relay_web_did, version="3.0")
    body = {"to": behind["did"], "type": basicmessage.MESSAGE, "body": {"content": "secret"}, "wait_s": 20}
    assert place.twin.client.post("didcomm", "send", body=body)["status"] == "delivered"
    agent.be("peer")
    agent.do("mediate", by=place.relay_web_did, version="3.0")
    assert agent.do("pick_up", version="3.0", limit=10) == {"counts": [0], "messages": []}
