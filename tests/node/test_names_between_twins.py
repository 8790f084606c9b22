"""Names between real processes: two twins and a relay, by the command line."""

import pytest

from tests.node.processes import Machine, Process, name_each_other, pagi, wait_until

pytestmark = pytest.mark.slow


def sequence_of(twin: Process) -> int | None:
    """The sequence of its own name, once a server has taken it."""
    own = twin.client.get("ipns")
    return own["published"]["sequence"] if own["taken_by"] else None


def test_a_twins_name_leads_to_its_profile_and_its_playbook(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    ada, bert = (machine.twin(name, "--name", name, "--bootstrap", relay.address) for name in ("ada", "bert"))
    ada.start()
    bert.start()
    name_each_other(ada, bert)
    bullet = {"op": "add", "section": "tides", "text": "High water comes about 50 minutes later each day.", "tags": []}
    added = ada.client.post("playbooks", "common", "revisions", body={"critique": "tides", "ops": [bullet]})

    def resolved() -> dict[str, object] | None:
        found = pagi("ipfs", "name", "resolve", "ada", "--home", str(bert.home), "--json")
        if found.status != 0:
            return None
        profile = found.document["profile"]
        return profile if profile and profile["playbooks"].get("common") == [added["cid"]] else None

    wait_until(lambda: sequence_of(ada), "the relay takes ada's name")
    # What was found once is used again for five minutes, so bert asks only when ada has published the change.
    wait_until(lambda: ada.client.get("ipns")["published"]["profile"]["playbooks"].get("common"), "ada publishes it")
    profile = wait_until(resolved, "bert resolves ada's name")
    assert (profile["did"], profile["name"]) == (ada.did, "ada")
    shown = pagi("ipfs", "name", "show", "--home", str(ada.home))
    assert f"playbook   common: {added['cid']}" in shown.stdout

    before = wait_until(lambda: sequence_of(ada), "the relay has the new name")
    ada.kill()
    ada.start()
    after = wait_until(lambda: sequence_of(ada), "the relay takes it again")
    assert after >= before
    assert pagi("ipfs", "name", "publish", "--home", str(ada.home), "--json").document["published"]["sequence"] > after
