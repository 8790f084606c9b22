"""Routes of learning over the fake twin."""

from fake_twin import FakeTwin
from serving import Client, with_server

BASE = "/v1/learning"


def test_what_was_done_and_proposed() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, document, _ = await client("GET", BASE, params={"limit": 1})
        assert (status, document["mode"], document["next"]) == (200, "propose", "1")
        (action,) = document["items"]
        assert action == {
            "id": "proposed-1",
            "case": "teams",
            "about": "it",
            "state": "proposed",
            "finding": "it could be better",
            "action": "make it better",
            "measured": {"share": 0.25},
            "created": "2026-11-18T11:06:40.250Z",
            "updated": "2026-11-18T11:06:40.250Z",
        }
        assert (await client("GET", f"{BASE}/done-1"))[1]["case"] == "drift"
        assert (await client("GET", f"{BASE}/nothing"))[1]["code"] == 40478

    with_server(test)


def test_the_owner_decides() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        assert (await client("POST", f"{BASE}/proposed-1/approve"))[1]["state"] == "done"
        assert (await client("POST", f"{BASE}/proposed-1/decline"))[1]["code"] == 40978
        assert (await client("POST", f"{BASE}/done-1/undo"))[1]["state"] == "undone"
        assert [one["id"] for one in (await client("POST", f"{BASE}/look"))[1]["items"]] == ["proposed-1"]

    with_server(test)


def test_lessons_from_feedback() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        learnt = (await client("POST", f"{BASE}/improve", json={}))[1]
        assert learnt["kept"] == [
            {"rule": "Name the unit.", "playbook": "common", "failures": 3, "mended": 2, "revision": None}
        ]
        assert (learnt["dropped"], learnt["why"]) == ({"it did not help": 2}, None)
        assert "no model" in (await client("POST", f"{BASE}/improve", json={"playbook": "barn"}))[1]["why"]

    with_server(test)


def test_traces_are_lines_of_json() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, _, headers = await client("GET", f"{BASE}/export")
        assert status == 200
        assert headers["Content-Type"] == "application/x-ndjson"
        assert (await client("GET", f"{BASE}/export", params={"curated": "true"}))[1]["code"] == 40479

    with_server(test)


def test_a_rating_says_what_was_right() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        job = (await client("POST", "/v1/interact", json={"goal": "how many"}))[1]["job_id"]
        said = {"rating": "bad", "expected": "450 ± 2", "because": "12 * 37.5", "share": True}
        assert (await client("POST", f"/v1/jobs/{job}/rate", json=said))[0] == 200
        assert twin.learning.said == [("450 ± 2", "12 * 37.5", True)]
        unusable = {"rating": "bad", "expected": "?!"}
        assert (await client("POST", f"/v1/jobs/{job}/rate", json=unusable))[1]["code"] == 40087

    with_server(test)


def test_checks_that_are_run_count_for_the_bullets() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        check = (await client("POST", "/v1/checks", json={"goal": "42", "expected": "42"}))[1]["id"]
        await client("POST", "/v1/checks/run", json={"ids": [check]})
        assert twin.learning.checked == [("common", True)]

    with_server(test)


def test_what_was_not_answered_becomes_no_check_however_it_is_rated() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        job = (await client("POST", "/v1/interact", json={"goal": "fail"}))[1]["job_id"]
        assert (await client("POST", f"/v1/jobs/{job}/rate", json={"rating": "good"}))[0] == 200
        assert (await client("GET", "/v1/checks"))[1]["items"] == []

    with_server(test)
