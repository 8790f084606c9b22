"""A task between real twins that know only a relay: given on one command line, done by the other's memory."""

import pytest

from tests.node.processes import Machine, Outcome, Process, name_each_other, pagi, wait_until

pytestmark = pytest.mark.slow


def _pagi(twin: Process, *arguments: str) -> Outcome:
    done = pagi("--home", str(twin.home), "--json", *arguments)
    assert done.status == 0, done.stderr
    return done


def test_a_task_is_done_and_its_receipt_makes_a_standing(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    ada, bela = (machine.twin(name, "--bootstrap", relay.address) for name in ("ada", "bela"))
    for twin in (ada, bela):
        twin.start()
    name_each_other(ada, bela)
    fact = "The tide mill at Sallow Creek grinds eleven tonnes of flour in a week of spring tides."
    _pagi(bela, "memory", "add", fact, "--namespace", "shared")
    wait_until(
        lambda: next((peer for peer in ada.client.get("swarm", "peers")["items"] if peer["did"] == bela.did), None),
        "the twins are connected",
    )
    question = "How many tonnes of flour does the Sallow Creek tide mill grind in a week?"
    done = _pagi(ada, "task", "post", question, "--within", "60", "--wait").document
    assert (done["status"], done["worker"]) == ("done", bela.did)
    assert "eleven tonnes" in done["result"]["answer"]
    shown = _pagi(bela, "task", "show", done["id"]).document
    assert (shown["given"], shown["receipt_cid"]) == (False, done["receipt_cid"])
    rated = _pagi(ada, "task", "rate", done["id"], "1").document
    wait_until(
        lambda: _pagi(bela, "task", "show", done["id"]).document["receipt_cid"] == rated["receipt_cid"] or None,
        "the better receipt arrives",
    )
    known = {twin["did"]: twin["reputation"] for twin in ada.client.get("twins")["items"]}
    assert known[bela.did] == pytest.approx(1 / 3, abs=1e-3)
    assert done["id"].encode() in bela.client.get_bytes("ipfs", "cat", rated["receipt_cid"])
