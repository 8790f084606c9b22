"""The routes of names."""

from fake_names import FRIEND, HEAD
from fake_twin import KEYS, NOW, NOW_MS, FakeTwin
from serving import Client, with_server

from protocols import ipns


def test_the_own_name_before_and_after_it_was_published() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        name = ipns.IpnsName(KEYS.public)
        plain = {"name": str(name), "peer_id": name.peer_id, "did": name.did}
        status, document, _ = await client("GET", "/v1/ipns")
        assert (status, document) == (200, {**plain, "published": None, "taken_by": 0})
        status, document, _ = await client("POST", "/v1/ipns/publish")
        assert status == 200
        current = twin.routing.own_name.current
        assert current is not None
        assert document["published"] == {
            **plain,
            "path": f"/ipfs/{current.cid}",
            "cid": str(current.cid),
            "sequence": 1,
            "valid_until": "2026-11-20T11:06:40.000Z",
            "profile": {
                "did": name.did,
                "name": "fake",
                "capabilities": ["ask"],
                "playbooks": {"common": [str(HEAD)]},
                "updated": NOW,
            },
            "problem": None,
        }
        await client("POST", "/v1/ipns/publish")
        _, document, _ = await client("GET", "/v1/ipns")
        assert (document["published"]["sequence"], document["taken_by"]) == (2, 1)
        assert current.record.valid_until_ms > NOW_MS

    with_server(test)


def test_names_of_others() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        name = ipns.IpnsName(FRIEND.public)
        for text in ("Ada", str(name), name.did, name.peer_id):
            status, document, _ = await client("GET", f"/v1/ipns/{text}")
            assert (status, document["name"], document["profile"]["name"]) == (200, str(name), "Ada")
        status, document, _ = await client("GET", f"/v1/ipns/{ipns.IpnsName(KEYS.public)}")
        assert (status, document["code"]) == (404, 40427)
        assert document["hint"]
        status, document, _ = await client("GET", "/v1/ipns/nobody")
        assert (status, document["code"]) == (400, 40027)

    with_server(test)
