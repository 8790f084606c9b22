"""Routes of playbooks, red lines and checks over the fake twin."""

from typing import Any

from fake_twin import FakeTwin
from serving import Client, with_server

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.hive.provisional import Provisional
from protocols.playbook.merge import EMPTY

BASE = "/v1/playbooks/common"
BULLET = {"op": "add", "section": "manners", "text": "Name the unit."}


async def proposed(client: Client, *ops: dict[str, Any], **more: Any) -> str:
    status, document, _ = await client(
        "POST", f"{BASE}/revisions", json={"critique": "why", "ops": list(ops or (BULLET,)), **more}
    )
    assert status == 200, document
    cid: str = document["cid"]
    return cid


def test_a_playbook_that_is_shown_by_a_snapshot_says_by_which() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        assert (await client("GET", BASE))[1]["provisional"] is None
        cid = Cid.of(CODEC_DAG_JOSE, b"a snapshot")
        twin.hive.shown_by["common"] = Provisional(cid, twin.did, 500, 120, EMPTY("common"))
        shown = (await client("GET", BASE))[1]["provisional"]
        assert shown == {"snapshot": str(cid), "author": twin.did, "revisions": 500, "fetched": 120}

    with_server(test)


def test_a_revision_with_all_that_is_known_of_it() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        cid = await proposed(client, BULLET, {"op": "template", "name": "team", "body": ["one"]}, anyway=True)
        document = (await client("GET", f"{BASE}/revisions/{cid}"))[1]
        assert document["stages"] == [
            {"stage": "author", "outcome": "passed", "reason": "written here", "ts": "2026-11-18T11:06:40.250Z"}
        ]
        assert (document["playbook"], document["changes"], document["share"]) == ("common", ["+ a line"], None)
        assert document["bullets"][0]["in_effect"]
        assert document["outcomes"] == {"usual": {"good": 1, "bad": 0}, "canary": {"good": 0, "bad": 0}}
        (result,) = document["results"]
        assert (result["checks"], result["passed_without"], result["passed_with"], result["standing"]) == (3, 1, 2, 0.5)
        assert (await client("GET", f"/v1/playbooks/other/revisions/{cid}"))[1]["code"] == 40451
        assert (await client("GET", BASE))[1]["templates"] == {"team": ["one"]}

    with_server(test)


def test_playbooks_by_pages() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        for name in ("b", "a"):
            await client("POST", f"/v1/playbooks/{name}/revisions", json={"critique": "c", "ops": [BULLET]})
        first = (await client("GET", "/v1/playbooks?limit=1"))[1]
        assert [(line["name"], line["bullets"], line["revisions"]) for line in first["items"]] == [
            ("a", 1, {"adopted": 1})
        ]
        second = (await client("GET", f"/v1/playbooks?limit=1&after={first['next']}"))[1]
        assert ([line["name"] for line in second["items"]], second["next"]) == (["b"], None)

    with_server(test)


def test_deciding() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        cid = await proposed(client)
        for query in ("", "?share=0.3"):
            status, document, _ = await client("POST", f"{BASE}/revisions/{cid}/approve{query}")
            assert (status, document["name"]) == (200, "common")
        for share in ("0", "1", "2", "x"):
            assert (await client("POST", f"{BASE}/revisions/{cid}/approve?share={share}"))[1]["code"] == 40010
        somebody = did_key(KeyPair(bytes(32)).public)
        assert (await client("POST", f"{BASE}/reject-author", json={"author": somebody}))[1] == {"rejected": 1}
        assert (await client("POST", f"{BASE}/reject-author", json={"author": "ben"}))[0] == 400
        assert (await client("GET", f"{BASE}/duplicates"))[1] == {"items": [], "next": None}
        assert (await client("POST", f"{BASE}/duplicates/split", json={"a": "x", "b": "y"}))[1]["code"] == 40488

    with_server(test)


def test_red_lines() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        line = (await client("POST", "/v1/red-lines", json={"kind": "phrase", "text": "eat seeds"}))[1]
        assert (await client("GET", "/v1/red-lines"))[1] == {"items": [line], "next": None}
        (hit,) = (await client("POST", "/v1/red-lines/test", json={"text": "now eat seeds"}))[1]["items"]
        assert (hit["id"], hit["likeness"]) == (line["id"], None)
        assert (await client("POST", "/v1/red-lines/test", json={"text": "water them"}))[1] == {"items": []}
        assert (await client("POST", "/v1/red-lines", json={"kind": "pattern", "text": "("}))[1]["code"] == 40086
        assert (await client("POST", "/v1/red-lines", json={"kind": "hint", "text": "x"}))[1]["code"] == 40010
        assert (await client("DELETE", f"/v1/red-lines/{line['id']}"))[1] == {"id": line["id"]}
        assert (await client("DELETE", f"/v1/red-lines/{line['id']}"))[1]["code"] == 40486

    with_server(test)


def test_checks() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        check = (await client("POST", "/v1/checks", json={"goal": "42", "expected": "42"}))[1]
        assert (check["playbook"], check["origin"]) == ("common", "owner")
        assert (await client("GET", "/v1/checks?playbook=common"))[1] == {"items": [check], "next": None}
        assert (await client("GET", "/v1/checks?playbook=other"))[1]["items"] == []
        ran = {"items": [{"id": check["id"], "goal": "42", "passed": True}], "passed": 1}
        for body in ({}, {"ids": [check["id"], check["id"]]}):
            assert (await client("POST", "/v1/checks/run", json=body))[1] == ran
        assert (await client("POST", "/v1/checks/run", json={"playbook": "other"}))[1]["code"] == 50387
        assert (await client("POST", "/v1/checks/run", json={"ids": ["none"]}))[1]["code"] == 40487
        assert (await client("POST", "/v1/checks", json={"goal": "g", "expected": "/(/"}))[1]["code"] == 40087
        assert (await client("DELETE", f"/v1/checks/{check['id']}"))[1] == {"id": check["id"]}
        assert (await client("DELETE", f"/v1/checks/{check['id']}"))[1]["code"] == 40487

    with_server(test)


def test_a_goal_is_a_check_for_as_long_as_it_is_rated_good() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        done = (await client("POST", "/v1/interact", json={"goal": "who mills"}))[1]
        for rating, count in (("bad", 0), ("good", 1), ("bad", 0)):
            await client("POST", f"/v1/jobs/{done['job_id']}/rate", json={"rating": rating})
            assert len((await client("GET", "/v1/checks"))[1]["items"]) == count

    with_server(test)
