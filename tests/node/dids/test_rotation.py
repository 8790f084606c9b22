"""A twin gets a new key: real processes, from the command to what the others make of it."""

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from identity import keystore
from identity.did import Did
from node.dids.rotation import papers_of
from protocols.succession import SUCCESSION
from tests.node.processes import Machine, Outcome, Process, every_item, name_each_other, pagi, wait_until

pytestmark = pytest.mark.slow

NOTE = "https://example.org/rotation-test/1.0/note"
CONFIG = "[network]\nsync_every_s = 1\nannounce_every_s = 2\n[mail]\nretry_most_s = 2\n"


def rotate(twin: Process, *options: str) -> Outcome:
    return pagi("identity", "rotate", "--home", str(twin.home), "--json", *(options or ("--yes",)))


def send(sender: Process, to: Did, text: str) -> str:
    body = {"to": to, "type": NOTE, "body": {"text": text}}
    return str(sender.client.post("didcomm", "send", body=body)["id"])


def inbox(twin: Process) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in every_item(twin.client, "didcomm", "inbox")}


def arrived(twin: Process, message_id: str) -> dict[str, Any] | None:
    return inbox(twin).get(message_id)


def trusted(twin: Process, did: Did) -> bool | None:
    allow = twin.client.get("trust")["allow"]
    return did in allow or None


def test_twins_that_named_each_other_go_on_under_the_new_name(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    a, b = (machine.twin(name, "--bootstrap", relay.address, config=CONFIG) for name in ("a", "b"))
    a.start()
    b.start()
    name_each_other(a, b)
    old = a.did
    lessons = [learn(a, "before the rotation")]
    wait_until(partial(arrived, b, send(a, b.did, "before")), "B hears A before the rotation")
    assert a.stop() == 0

    to_old_name = send(b, old, "to the name that A had when B wrote")
    outcome = rotate(a)
    assert outcome.status == 0, outcome.stderr
    new = Did(outcome.document["did"])
    assert outcome.document["formerly"] == [old]
    assert new != old

    a.start()
    assert a.did == new
    assert a.client.get("id")["formerly"] == [old]
    wait_until(partial(trusted, b, new), "B follows A")
    assert not trusted(b, old)
    kept = wait_until(partial(arrived, a, to_old_name), "what B wrote to the old name arrives")
    assert kept["from"] == b.did
    from_b = wait_until(partial(arrived, a, send(b, new, "to the new name")), "B writes to the new name")
    from_a = wait_until(partial(arrived, b, send(a, b.did, "from the new name")), "A writes from the new name")
    assert (from_b["from"], from_a["from"]) == (b.did, new)
    wait_until(partial(told, a), "B has acknowledged the notice")

    known = {item["did"]: item for item in b.client.get("twins")["items"]}
    assert known[new]["formerly"] == [old]
    assert old not in known
    (event,) = [item for item in every_item(b.client, "events", "log") if item["event_type"] == "twin_succeeded"]
    assert (event["subject"], event["payload"]["data"]["formerly"]) == (new, old)
    shown = pagi("identity", "show", "--home", str(b.home), "--json").document
    assert shown["successions"] == [{"old": old, "new": new, "conflict": None}]

    lessons.append(learn(a, "after the rotation"))
    wait_until(partial(adopted, b, lessons), "B goes on learning from A")

    late = machine.twin("late", "--bootstrap", relay.address, config=CONFIG)
    late.start()
    late.client.put("trust", body={"allow": [old], "block": [], "reputation_threshold": 1.0, "auto_adopt": True})
    wait_until(partial(trusted, late, new), "one that names the old DID later follows as well")
    wait_until(partial(adopted, late, lessons), "it learns also what A wrote under its old name")


def learn(twin: Process, text: str) -> str:
    op = {"op": "add", "section": "notes", "text": text, "tags": []}
    return str(twin.client.post("playbooks", "common", "revisions", body={"critique": "Seen.", "ops": [op]})["cid"])


def adopted(twin: Process, lessons: list[str]) -> bool | None:
    found = {row["cid"]: row["status"] for row in every_item(twin.client, "playbooks", "common", "revisions")}
    return all(found.get(cid) == "adopted" for cid in lessons) or None


def told(a: Process) -> bool | None:
    rows = [item for item in every_item(a.client, "didcomm", "outbox") if item["type"] == SUCCESSION]
    assert len(rows) == 1, "one notice for each who is named, however often A starts"
    return rows[0]["status"] == "delivered" or None


def test_a_running_twin_is_not_rotated_and_nobody_is_asked_without_a_terminal(machine: Machine) -> None:
    twin = machine.twin("a")
    twin.start()
    outcome = rotate(twin)
    assert (outcome.status, outcome.document["code"]) == (1, 40971)
    assert str(twin.pid) in outcome.stderr
    assert twin.stop() == 0
    outcome = rotate(twin, "--json")
    assert (outcome.status, outcome.document["status"]) == (2, 400)
    assert json.loads((twin.home / "identity.json").read_text())["did"] == twin.did


def test_several_rotations_between_two_starts(machine: Machine) -> None:
    a, b = machine.twin("a", config=CONFIG), machine.twin("b", config=CONFIG)
    a.start()
    b.start()
    name_each_other(a, b)
    first = a.did
    assert a.stop() == 0
    dids = [first, *(Did(rotate(a).document["did"]) for _ in range(2))]
    a.start()
    assert a.client.get("id")["formerly"] == dids[:2]
    b.client.post("swarm", "connect", body={"multiaddr": a.address})
    wait_until(partial(trusted, b, dids[2]), "B follows both steps")
    wait_until(partial(arrived, a, send(b, dids[2], "hello")), "B reaches A")


def test_a_sealed_key_is_replaced_by_a_sealed_key(machine: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    home = tmp_path / "sealed"
    made = pagi("init", "--home", str(home), "--json", "--passphrase-file", str(secret)).document
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase\n")
    options = ("identity", "rotate", "--home", str(home), "--json", "--yes", "--passphrase-file")
    assert pagi(*options, str(wrong)).document["code"] == 40111
    assert keystore.names_in(home / "identity.json") == (made["did"], ())
    new = pagi(*options, str(secret)).document["did"]
    held = keystore.load(home / "identity.json", lambda: "correct horse battery")
    assert (held.did, held.sealed, len(held.retired)) == (new, True, 1)
    papers = papers_of(held.retired[0])
    assert (papers.old, papers.new) == (made["did"], new)


def test_a_kill_while_the_new_name_is_told_loses_no_notice(machine: Machine) -> None:
    """The first start after a rotation is cut off at once, again and again."""
    a, b = machine.twin("a", config=CONFIG), machine.twin("b", config=CONFIG)
    a.start()
    b.start()
    name_each_other(a, b)
    assert a.stop() == 0
    new = Did(rotate(a).document["did"])
    for wait_s in (0.3, 0.8, 1.2, 1.6, 2.0):
        a.launch()
        a.is_ready_within(wait_s)
        a.kill()
    a.start()
    b.client.post("swarm", "connect", body={"multiaddr": a.address})
    wait_until(partial(trusted, b, new), "B follows")
    wait_until(partial(told, a), "one notice, acknowledged")
    assert a.stop(signal.SIGTERM) == 0
