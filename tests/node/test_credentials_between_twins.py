"""Credentials between real twins, processes of this machine: one issues, another verifies and sees the revocation."""

import socket

import pytest

from tests.node.processes import Machine, name_each_other, pagi

pytestmark = pytest.mark.slow

CLAIMS = {"reputationScore": 0.75, "contributions": [{"kind": "answer", "evidence": "job-1", "helpful": True}]}


def test_a_credential_from_one_twin_to_another(machine: Machine) -> None:
    ada, bela = machine.twin("ada"), machine.twin("bela")
    ada.start()
    bela.start()
    bela.client.post("swarm", "connect", body={"multiaddr": ada.address})
    body = {"type": "PAGIReputationCredential", "subject": bela.did, "claims": CLAIMS}
    document = ada.client.post("credentials", "issue", body=body)

    # Bela is a stranger to Ada, and has her status list all the same.
    verdict = bela.client.post("credentials", "verify", body={"credential": document})
    assert verdict["valid"] is True, verdict
    assert {"name": "status", "ok": True, "detail": "revocation: not set"} in verdict["checks"]
    assert bela.client.post("credentials", body={"credential": document})["role"] == "held"

    presentation = bela.client.post(
        "presentations", body={"credentials": [document["id"]], "challenge": "c-1", "domain": ada.did}
    )
    ask = {"presentation": presentation, "challenge": "c-1", "domain": ada.did}
    assert ada.client.post("credentials", "verify", body=ask)["valid"] is True

    ada.client.post("credentials", document["id"], "revoke", body={})
    verdict = ada.client.post("credentials", "verify", body={"credential": document})
    assert [error["code"] for error in verdict["errors"]] == [41066]
    bela.stop()
    bela.start()
    bela.client.post("swarm", "connect", body={"multiaddr": ada.address})
    verdict = bela.client.post("credentials", "verify", body={"credential": document})
    assert [error["code"] for error in verdict["errors"]] == [41066], "a twin that was restarted asks again"


def test_a_tool_vouches_for_a_twin_and_the_command_line_checks_it(machine: Machine) -> None:
    ada, bela = machine.twin("ada"), machine.twin("bela")
    ada.start()
    bela.start()
    name_each_other(ada, bela)
    called = ada.client.post("tools", "vc_issue_reputation", "execute", body={"parameters": {"subject": bela.did}})
    document = called["result"]
    assert document["credentialSubject"] == {"id": bela.did, "reputationScore": 0, "contributions": []}
    called = ada.client.post("tools", "vc_verify", "execute", body={"parameters": {"credential": document}})
    assert called["result"]["valid"] is True
    listed = pagi("--home", str(ada.home), "--json", "vc", "list", "--role", "issued").document
    assert [row["id"] for row in listed["items"]] == [document["id"]]
    shown = pagi("--home", str(ada.home), "vc", "show", document["id"])
    assert document["proof"]["proofValue"] in shown.stdout


def test_a_list_at_a_web_address(machine: Machine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    ada = machine.twin("ada", "--public", place, "--public-url", f"http://{place}")
    bela = machine.twin("bela", config="[network]\nallow_private_addresses = true\n")
    careful = machine.twin("careful")
    for twin in (ada, bela, careful):
        twin.start()
    body = {"type": "PAGIReputationCredential", "subject": bela.did, "claims": CLAIMS}
    document = ada.client.post("credentials", "issue", body=body)
    url = document["credentialStatus"]["statusListCredential"]
    assert url == f"http://{place}/credentials/status/1"
    verdict = bela.client.post("credentials", "verify", body={"credential": document})
    assert verdict["valid"] is True, verdict
    # A credential must not make a twin ask addresses of its own machine, unless its owner allows that.
    verdict = careful.client.post("credentials", "verify", body={"credential": document})
    assert [check["name"] for check in verdict["checks"] if not check["ok"]] == ["status"]
