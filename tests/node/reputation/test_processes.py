"""Reputation between real twins: a credential carries a standing to somebody who names its issuer."""

import json

import pytest

from tests.node.processes import Machine, Process, name_each_other, pagi, wait_until

pytestmark = pytest.mark.slow


def _score(at: Process, of: Process) -> float:
    return float(at.client.get("twins", of.did, "reputation")["score"])


def test_a_credential_of_a_named_issuer_counts_until_it_is_revoked(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    ada, bela, carl = (machine.twin(name, "--bootstrap", relay.address) for name in ("ada", "bela", "carl"))
    for twin in (ada, bela, carl):
        twin.start()
    name_each_other(ada, bela)
    name_each_other(ada, carl)
    body = {"type": "PAGIReputationCredential", "subject": bela.did, "claims": {}}
    nothing = ada.client.post("credentials", "issue", body=body)
    assert nothing["credentialSubject"] == {"id": bela.did, "reputationScore": 0.0, "contributions": []}
    seen = [{"kind": "receipt", "evidence": f"task-{n}", "helpful": True} for n in range(3)]
    claims = {"reputationScore": 0.8, "contributions": seen}
    credential = ada.client.post("credentials", "issue", body={**body, "claims": claims})
    file = machine.folder / "credential.json"
    file.write_text(json.dumps(credential))
    assert pagi("--home", str(carl.home), "vc", "import", str(file)).status == 0
    wait_until(lambda: _score(carl, bela) or None, "Carl counts what Ada says of Bela")
    explained = pagi("--home", str(carl.home), "vc", "explain", bela.did)
    assert f"credential of {ada.did}" in explained.stdout
    assert pagi("--home", str(ada.home), "vc", "revoke", credential["id"]).status == 0
    checks = ada.client.post("credentials", "verify", body={"credential": credential})
    assert (checks["valid"], [check["name"] for check in checks["checks"] if not check["ok"]]) == (False, ["status"])
