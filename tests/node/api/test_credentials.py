"""The routes of credentials, in the shapes of the interface contract."""

from typing import Any

from fake_twin import OTHER, FakeTwin
from serving import Client, with_server

CLAIMS = {"reputationScore": 0.75, "contributions": [{"kind": "answer", "evidence": "job-1"}]}
ISSUE = {"type": "PAGIReputationCredential", "subject": OTHER, "claims": CLAIMS}


async def issued(client: Client, **more: Any) -> dict[str, Any]:
    status, document, _ = await client("POST", "/v1/credentials/issue", json={**ISSUE, **more})
    assert status == 200, document
    assert isinstance(document, dict)
    return document


def test_issue_and_verify() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        document = await issued(client, valid_for_s=60)
        assert document["issuer"] == twin.did
        assert document["type"] == ["VerifiableCredential", "PAGIReputationCredential"]
        assert document["credentialSubject"] == {"id": OTHER, **CLAIMS}
        status, verdict, _ = await client("POST", "/v1/credentials/verify", json={"credential": document})
        assert (status, verdict["valid"], verdict["errors"]) == (200, True, [])
        assert {check["name"] for check in verdict["checks"]} >= {"signature", "issuer", "status", "schema"}
        document["credentialSubject"]["reputationScore"] = 1
        status, verdict, _ = await client("POST", "/v1/credentials/verify", json={"credential": document})
        assert (status, verdict["valid"]) == (200, False)
        assert [error["code"] for error in verdict["errors"]] == [40165]

    with_server(test)


def test_who_is_me_and_what_is_refused() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        mine = await issued(client, type="Friend", subject="me", claims={"since": 2020}, suite="eddsa-rdfc-2022")
        assert mine["credentialSubject"]["id"] == twin.did
        for change, code in (
            ({"claims": {"reputationScore": 2, "contributions": []}}, 40085),
            ({"type": "Friend", "contexts": ["https://attacker.example/c"]}, 40066),
            ({"suite": "jwt-vc-1.1"}, 50165),
        ):
            status, problem, _ = await client("POST", "/v1/credentials/issue", json={**ISSUE, **change})
            assert (status, problem["code"]) == (code // 100, code)
            assert problem["hint"]
        for bad in ({}, {**ISSUE, "type": "no words"}, {**ISSUE, "valid_for_s": 0}, {**ISSUE, "suite": "none"}):
            status, _, _ = await client("POST", "/v1/credentials/issue", json=bad)
            assert status in (400, 422)

    with_server(test)


def test_list_show_import_and_revoke() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        document = await issued(client)
        status, row, _ = await client("POST", "/v1/credentials", json={"credential": document})
        assert (status, row["role"], row["credential"]) == (200, "held", document)
        _, page, _ = await client("GET", "/v1/credentials?role=issued&type=PAGIReputationCredential&limit=1")
        assert [item["id"] for item in page["items"]] == [document["id"]]
        assert page["next"] is None
        _, page, _ = await client("GET", "/v1/credentials?type=Other")
        assert page["items"] == []
        twin.credentials.rows = twin.credentials.rows[1:]
        _, row, _ = await client("POST", f"/v1/credentials/{document['id']}/revoke", json={})
        assert row["revoked"] == row["ts"]
        _, row, _ = await client("GET", f"/v1/credentials/{document['id']}")
        assert (row["issuer"], row["subject"], row["valid_until"]) == (twin.did, OTHER, None)
        status, problem, _ = await client("GET", "/v1/credentials/urn:x:none")
        assert (status, problem["code"]) == (404, 40465)
        changed = {**document, "issuer": OTHER}
        status, problem, _ = await client("POST", "/v1/credentials", json={"credential": changed})
        assert (status, problem["code"]) == (401, 40165)

    with_server(test)


def test_present_and_verify() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        document = await issued(client, subject="me")
        body = {"credentials": [document["id"], document], "challenge": "c-1", "domain": "d"}
        status, vp, _ = await client("POST", "/v1/presentations", json=body)
        assert (status, vp["proof"]["challenge"]) == (200, "c-1")
        ask = {"presentation": vp, "challenge": "c-1", "domain": "d"}
        _, verdict, _ = await client("POST", "/v1/credentials/verify", json=ask)
        assert verdict["valid"] is True
        _, verdict, _ = await client("POST", "/v1/credentials/verify", json={**ask, "challenge": "c-2"})
        assert [check["name"] for check in verdict["checks"] if not check["ok"]] == ["challenge"]
        for bad in ({}, {"credential": document, "presentation": vp}, {"credential": 5}):
            status, _, _ = await client("POST", "/v1/credentials/verify", json=bad)
            assert status in (400, 422)

    with_server(test)


def test_a_jwt_is_text() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, verdict, _ = await client(
            "POST", "/v1/credentials/verify", json={"credential": "eyJhbGciOiJub25lIn0.e30."}
        )
        assert (status, verdict["valid"]) == (200, False)
        assert verdict["errors"][0]["code"] == 40068

    with_server(test)
