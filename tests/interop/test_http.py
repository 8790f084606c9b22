"""A foreign DIDComm agent and a real twin over HTTP: npm didcomm-node packs and unpacks, nothing of ours is shared.

The agent knows nothing but what it is given or finds: DIDs, an invitation, a did.json.
"""

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from protocols.conversations import basicmessage, problem_report, trust_ping
from protocols.didcomm.envelope import Form
from protocols.message import EMPTY
from tests.interop.http_agent import Agent
from tests.node.processes import Machine, Process, free_port, wait_until

pytestmark = [pytest.mark.node_js, pytest.mark.slow]

PRIVATE = "[network]\nallow_private_addresses = true\n"
OWNER_TRUSTS = {"block": [], "reputation_threshold": 1.0, "auto_adopt": True}
TAKEN = {
    "authcrypt": {"authenticated"},
    "authcrypt-signed": {"authenticated", "non_repudiation"},
    "anoncrypt-authcrypt": {"authenticated", "anonymous_sender"},
    "anoncrypt-signed": {"authenticated", "non_repudiation", "anonymous_sender"},
    "anoncrypt": {"anonymous_sender"},
}
"""What didcomm-node finds in an envelope of each form, besides that it is encrypted."""


@pytest.fixture
def agent(http_agent: Any) -> Agent:
    return Agent(http_agent)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A twin with a public listener and a did:web, which no other test talks to at the same time."""
    machine = Machine(tmp_path_factory.mktemp("http"))
    host = f"127.0.0.1:{free_port()}"
    running = machine.twin("ada", "--public", host, "--public-url", f"http://{host}", config=PRIVATE)
    running.start()
    yield running
    machine.discard_all()


def name(twin: Process, *dids: str) -> None:
    """Have the owner name these, and nobody else."""
    twin.client.put("trust", body={"allow": list(dids), **OWNER_TRUSTS})


def web_did(twin: Process) -> str:
    return "did:web:" + str(twin.first_line["public"]).removeprefix("http://").replace(":", "%3A")


def invitation(twin: Process) -> dict[str, Any]:
    made: dict[str, Any] = twin.client.post("didcomm", "invitation", body={})
    return made


def inbox_of(twin: Process, sender: str) -> list[dict[str, Any]]:
    """What came from one sender, oldest first."""
    items = twin.client.get("didcomm", "inbox", query={"limit": 500})["items"]
    return [item for item in reversed(items) if item["from"] == sender]


def outbox_row(twin: Process, message_id: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = twin.client.get("didcomm", "outbox", query={"limit": 500})["items"]
    return next(item for item in items if item["id"] == message_id)


def chat(to: str, content: str, **fields: Any) -> dict[str, Any]:
    return {"to": to, "type": basicmessage.MESSAGE, "body": {"content": content}, "wait_s": 20, **fields}


def test_we_take_every_form_that_proves_its_author(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("peer"))
    forms = [{"form": form} for form in ("authcrypt", "authcrypt-signed", "anoncrypt-authcrypt")]
    forms += [{"form": "anoncrypt-signed", "enc": enc} for enc in ("XC20P", "A256GCM", "A256CBC-HS512")]
    for number, how in enumerate(forms):
        sent = agent.say(web_did(twin), str(how), how=how, id=f"form-{number}")
        assert sent["status"] == 202
        assert agent.say(web_did(twin), "again", how=how, id=f"form-{number}")["status"] == 202
    came = inbox_of(twin, agent.did)
    assert [item["body"]["content"] for item in came] == [str(how) for how in forms]
    assert {item["status"] for item in came} <= {"received", "handled"}
    assert {item["via"] for item in came} == {"http"}


@pytest.mark.parametrize("enc", ["XC20P", "A256GCM", "A256CBC-HS512"])
def test_we_refuse_what_proves_no_author(twin: Process, agent: Agent, enc: str) -> None:
    name(twin, agent.be("peer"))
    assert agent.say(web_did(twin), "who?", how={"form": "anoncrypt", "enc": enc})["status"] == 400
    claimed = agent.say(web_did(twin), "me", how={"form": "anoncrypt", "enc": enc}, **{"from": agent.did})
    assert claimed["status"] == 400
    assert inbox_of(twin, agent.did) == []


def test_we_refuse_what_everybody_on_the_way_could_read(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("peer"))
    message = {"type": basicmessage.MESSAGE, "body": {"content": "open"}, "to": [web_did(twin)]}
    assert agent.do("sign", message=message, url=f"{twin.first_line['public']}/didcomm")["status"] == 400
    assert inbox_of(twin, agent.did) == []


def test_a_stranger_is_a_request_until_the_owner_names_it(twin: Process, agent: Agent) -> None:
    name(twin)
    stranger = agent.be("peer")
    assert agent.say(web_did(twin), "hello?")["status"] == 202
    assert [item["status"] for item in inbox_of(twin, stranger)] == ["request"]
    name(twin, stranger)
    assert agent.say(web_did(twin), "hello!")["status"] == 202
    assert "request" not in [item["status"] for item in inbox_of(twin, stranger)]


@pytest.mark.parametrize("form", get_args(Form))
def test_it_reads_every_form_that_we_send(twin: Process, agent: Agent, form: str) -> None:
    name(twin, agent.be("peer"))
    sent = twin.client.post("didcomm", "send", body=chat(agent.did, "Grüße", pack=form, thid="thread-1"))
    assert sent["status"] == "delivered"
    row = outbox_row(twin, sent["id"])
    assert (row["via"], row["error"]) == (agent.url.rstrip("/"), None)
    (entry,) = agent.got(basicmessage.MESSAGE)
    message = entry["message"]
    assert (message["id"], message["body"], message["thid"]) == (sent["id"], {"content": "Grüße"}, "thread-1")
    assert {key for key, value in entry["metadata"].items() if value is True} == {"encrypted"} | TAKEN[form]


@pytest.mark.parametrize("method", ["peer", "web"])
def test_we_ping_it(twin: Process, agent: Agent, method: str) -> None:
    name(twin, agent.be(method))
    assert twin.client.post("didcomm", "ping", body={"to": agent.did})["did"] == agent.did
    agent.do("answer", apart=True)
    assert twin.client.post("didcomm", "ping", body={"to": agent.did})["ms"] > 0
    assert [entry["by"] for entry in agent.got(trust_ping.PING, 2)] == ["post", "post"]


def test_it_pings_us_and_the_response_carries_the_answer(twin: Process, agent: Agent) -> None:
    name(twin)
    agent.be("peer")  # also for a stranger: how else would agents find out that they can talk
    sent = agent.send(web_did(twin), trust_ping.PING, {}, return_route="all")
    assert sent["status"] == 200
    answer = sent["reply"]["message"]
    assert (answer["type"], answer["thid"], answer["from"]) == (trust_ping.PING_RESPONSE, sent["id"], web_did(twin))
    assert sent["reply"]["metadata"]["authenticated"]


def test_it_pings_us_and_is_answered_at_its_own_address(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("peer"))
    sent = agent.send(web_did(twin), trust_ping.PING, {})
    assert (sent["status"], sent["reply"]) == (202, None)
    (entry,) = agent.got(trust_ping.PING_RESPONSE)
    assert (entry["message"]["thid"], entry["by"]) == (sent["id"], "post")


def test_either_side_acknowledges_what_the_other_asks_for(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("peer"))
    first = agent.say(web_did(twin), "have you got it?", please_ack=[""])
    second = agent.say(web_did(twin), "and both?", please_ack=["", first["id"], "never-sent"])
    wanted = {first["id"], second["id"]}
    assert wait_until(lambda: acked if (acked := _acked(agent)) >= wanted else None, "both") == wanted
    sent = twin.client.post("didcomm", "send", body=chat(agent.did, "and you?", please_ack=True))
    (entry,) = agent.got(basicmessage.MESSAGE)
    assert entry["message"]["please_ack"] == [""]
    assert sent["status"] == "delivered"


def _acked(agent: Agent) -> set[str]:
    return {id_ for entry in agent.got(EMPTY) for id_ in entry["message"]["ack"]}


def test_it_answers_our_invitation_and_is_named(twin: Process, agent: Agent) -> None:
    name(twin)
    agent.be("peer")
    made = invitation(twin)
    read = agent.do("read", url=made["url"])["message"]
    assert (read["type"], read["id"], read["from"]) == (
        "https://didcomm.org/out-of-band/2.0/invitation",
        made["id"],
        made["did"],
    )
    assert agent.say(read["from"], "you invited me", pthid=read["id"])["status"] == 202
    assert twin.client.get("trust")["allow"] == [agent.did]
    (item,) = inbox_of(twin, agent.did)
    assert item["pthid"] == made["id"]
    assert item["status"] != "request"
    twin.client.post("didcomm", "send", body=chat(agent.did, "welcome"))
    (entry,) = agent.got(basicmessage.MESSAGE)
    assert entry["message"]["from"] == made["did"], "it knows us by the name that invited it"


def test_an_invitation_counts_once(twin: Process, agent: Agent) -> None:
    name(twin)
    made = invitation(twin)
    first = agent.be("peer")
    agent.say(made["did"], "I am first", pthid=made["id"])
    second = agent.be("peer")
    assert agent.say(made["did"], "me too", pthid=made["id"])["status"] == 400
    assert twin.client.get("trust")["allow"] == [first]
    assert inbox_of(twin, second) == []


def test_we_accept_its_invitation(twin: Process, agent: Agent) -> None:
    name(twin)
    agent.be("peer")
    made = agent.do("invite", goal="to talk")
    accepted = twin.client.post("didcomm", "accept", body={"url": made["url"]})
    assert accepted["did"] == agent.did
    assert twin.client.get("trust")["allow"] == [agent.did]
    (ping,) = agent.got(trust_ping.PING)
    assert ping["message"]["pthid"] == made["id"]
    # It knows nothing of us but the DID in that message, and finds the way back in it.
    assert agent.say(ping["message"]["from"], "welcome")["status"] == 202
    assert [item["body"]["content"] for item in inbox_of(twin, agent.did)] == ["welcome"]


def test_what_we_do_not_know_is_reported(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("peer"))
    sent = agent.send(web_did(twin), "https://example.org/chess/1.0/move", {"to": "e4"})
    assert sent["status"] == 202
    (entry,) = agent.got(problem_report.PROBLEM)
    report = entry["message"]
    assert (report["body"]["code"], report["pthid"]) == (problem_report.UNSUPPORTED, sent["id"])


def test_it_uses_our_did_web(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("web"))
    document = agent.do("resolve", did=web_did(twin))["document"]
    assert [service["serviceEndpoint"]["uri"] for service in document["service"]] == [
        f"{twin.first_line['public']}/didcomm"
    ]
    assert agent.say(web_did(twin), "from one domain to another")["status"] == 202
    (item,) = inbox_of(twin, agent.did)
    assert item["to"] == web_did(twin)
    twin.client.post("didcomm", "send", body=chat(agent.did, "and back"))
    (entry,) = agent.got(basicmessage.MESSAGE)
    assert entry["message"]["from"] == web_did(twin)
    assert entry["metadata"]["encrypted_from_kid"].startswith(f"{web_did(twin)}#")


def test_an_agent_without_an_address_is_reached_over_its_socket(twin: Process, agent: Agent) -> None:
    name(twin, agent.be("key"))
    agent.do("connect", to=web_did(twin))
    agent.send(web_did(twin), trust_ping.PING, {}, how={"by": "socket"}, return_route="all")
    assert agent.got(trust_ping.PING_RESPONSE)[0]["by"] == "socket"
    sent = twin.client.post("didcomm", "send", body=chat(agent.did, "are you there?"))
    assert sent["status"] == "sent", "nothing on a socket says that a message arrived"
    assert agent.got(basicmessage.MESSAGE)[0]["by"] == "socket"
    wait_until(lambda: outbox_row(twin, sent["id"])["status"] == "delivered" or None, "its acknowledgement")
    assert outbox_row(twin, sent["id"])["via"] == "return"
