"""Every route once, in the shapes of the interface contract."""

import io

from fake_twin import KEYS, NOW, OTHER, FakeTwin
from serving import Client, with_server

from identity.cid import Cid
from identity.did import did_key, peer_id
from identity.did_peer import make_did_peer_2
from identity.keys import KeyPair, agreement_key_of
from identity.multibase import CODEC_RAW

FRIEND = did_key(KeyPair(bytes([5]) * 32).public)


def test_id_and_did() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, document, _ = await client("GET", "/v1/id")
        assert status == 200
        assert document == {
            "did": did_key(KEYS.public),
            "also_known_as": [],
            "formerly": [],
            "peer_id": peer_id(KEYS.public),
            "name": "fake",
            "addresses": list(twin.network.addresses()),
            "capabilities": ["research", "tool_use"],
            "version": "0.0.1",
        }
        status, document, _ = await client("GET", "/v1/did")
        assert status == 200
        assert document["id"] == did_key(KEYS.public)

    with_server(test)


def test_dids_are_resolved() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        for did, status in (
            ("me", 200),
            (OTHER, 200),
            (make_did_peer_2(KEYS.public, agreement_key_of(KEYS.public), ()), 200),
            ("did:web:example.org", 502),
            ("did:web:localhost%253A8080", 502),
            ("did:example:alice", 400),
            ("nobody", 400),
            ("did:key:" + "z" * 3000, 400),
        ):
            got, document, _ = await client("GET", f"/v1/dids/{did}")
            assert got == status, (did, document)
            if status == 200:
                assert document["id"] == (twin.did if did == "me" else did)
        assert "localhost%3A8080" in (await client("GET", "/v1/dids/did:web:localhost%253A8080%253A1"))[1]["detail"]

    with_server(test)


def test_probes_need_no_token_and_tell_what_is_wrong() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        for path in ("/live", "/ready"):
            async with client.session.get(client.url + path) as response:
                assert response.status == 200
                assert (await response.json())["status"] == "ok"
        twin.has_model = False
        status, document, _ = await client("GET", "/ready")
        assert (status, document["status"]) == (200, "degraded")
        assert document["checks"]["model"] == {"ok": True, "detail": "degraded: no model"}
        twin.well = False
        status, document, _ = await client("GET", "/ready")
        assert (status, document["status"]) == (503, "unavailable")
        assert document["checks"]["network"] == {"ok": False, "detail": "1 peers"}
        assert (await client("GET", "/live"))[0] == 200

    with_server(test)


def test_swarm() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        _, document, _ = await client("GET", "/v1/swarm/peers")
        (peer,) = document["items"]
        assert peer == {
            "peer_id": "12D3KooWOther",
            "did": OTHER,
            "addresses": ["/ip4/127.0.0.1/tcp/4802"],
            "latency_ms": 1.5,
            "relayed": False,
        }
        assert (await client("GET", "/v1/swarm/dht"))[1] == {"servers": ["12D3KooWRelay"]}
        address = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWFriend"
        status, document, _ = await client("POST", "/v1/swarm/connect", json={"multiaddr": address})
        assert (status, document) == (200, {"peer_id": "12D3KooWFriend"})
        assert twin.network.dialled == [address]
        status, document, _ = await client("POST", "/v1/swarm/connect", json={"multiaddr": "nowhere"})
        assert (status, document["code"]) == (400, 40041)

    with_server(test)


def test_twins_are_paged_in_a_stable_order() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        seen, after = [], ""
        for _ in range(3):
            _, document, _ = await client("GET", f"/v1/twins?limit=1{after}")
            seen += [item["did"] for item in document["items"]]
            after = f"&after={document['next']}"
        assert seen == sorted(known.did for known in twin.directory.known)
        assert document["next"] is None
        assert document["items"][0]["last_seen"] == NOW

    with_server(test)


def test_a_goal_makes_a_job() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        body = {"goal": "hello", "session_id": "s", "max_steps": 2.0}
        status, outcome, _ = await client("POST", "/v1/interact", json=body)
        assert status == 200
        assert outcome["status"] == "done"
        assert outcome["answer"] == "You said: hello"
        assert outcome["steps"][0] == {
            "n": 1,
            "action": "recall",
            "input": {"query": "hello"},
            "output": {"found": 0},
            "ms": 1.25,
        }
        _, jobs, _ = await client("GET", "/v1/jobs")
        assert [job["id"] for job in jobs["items"]] == [outcome["job_id"]]
        assert jobs["items"][0]["created"] == NOW
        _, job, _ = await client("GET", f"/v1/jobs/{outcome['job_id']}")
        assert len(job["steps"]) == 2
        _, log, _ = await client("GET", f"/v1/jobs/{outcome['job_id']}/log")
        assert log["items"][0] == {"ts": NOW, "level": "plan", "text": "first recall"}
        assert (await client("GET", "/v1/jobs/unknown"))[1]["code"] == 40453
        assert (job["guidance"]["outcome"], job["guidance"]["source"]) == ("good", "job")
        rate = f"/v1/jobs/{outcome['job_id']}/rate"
        _, rated, _ = await client("POST", rate, json={"rating": "bad"})
        assert (rated["outcome"], rated["source"], rated["bullets"][0]["use"]) == ("bad", "owner", "adopted")
        assert (await client("POST", "/v1/jobs/unknown/rate", json={"rating": "bad"}))[1]["code"] == 40453
        assert (await client("POST", rate, json={"rating": "fair"}))[0] == 400
        _, plan, _ = await client("POST", "/v1/plan", json={"goal": "hello"})
        assert [step["action"] for step in plan["steps"]] == ["respond"]

    with_server(test)


def test_memory() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        body = {"kind": "semantic", "content": "the tide is high", "namespace": "shared", "tags": ["sea"]}
        status, added, _ = await client("POST", "/v1/memory", json=body)
        assert status == 200
        _, found, _ = await client("POST", "/v1/memory/search", json={"query": "tide", "namespace": "shared"})
        assert found["items"][0] == {
            "id": added["id"],
            "kind": "semantic",
            "content": "the tide is high",
            "namespace": "shared",
            "ts": NOW,
            "tags": ["sea"],
            "source": "api",
            "session_id": None,
            "happened": NOW,
            "importance": 0.5,
            "mood": None,
            "outcome": None,
            "with_did": None,
            "score": 1.0,
            "weight": 1.0,
            "why": [],
            "contradicts": [],
        }
        _, found, _ = await client("POST", "/v1/memory/search", json={"query": "tide", "kinds": ["working"]})
        assert found["items"] == []
        assert len((await client("GET", "/v1/memory?kind=semantic"))[1]["items"]) == 1
        assert (await client("GET", "/v1/memory?namespace=private"))[1]["items"] == []
        assert (await client("DELETE", f"/v1/memory/{added['id']}"))[0] == 200
        assert (await client("DELETE", f"/v1/memory/{added['id']}"))[1]["code"] == 40481

    with_server(test)


def test_one_memory_is_shown_with_its_ties() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        body = {"kind": "working", "content": "hello", "role": "user", "session_id": "s1"}
        _, added, _ = await client("POST", "/v1/memory", json=body)
        _, other, _ = await client("POST", "/v1/memory", json={"kind": "episodic", "content": "we met"})
        status, shown, _ = await client("GET", f"/v1/memory/{added['id']}")
        assert status == 200
        assert (shown["role"], shown["session_id"], shown["embedded_by"]) == ("user", "s1", "words")
        assert shown["expires"] is not None  # a turn has its time
        assert shown["made_from"] == [other["id"]]
        assert (await client("GET", f"/v1/memory/{other['id']}"))[1]["expires"] is None
        assert (await client("GET", "/v1/memory/unknown"))[1]["code"] == 40481
        _, sessions, _ = await client("GET", "/v1/memory/sessions")
        assert [row["session_id"] for row in sessions["items"]] == ["s1"]

    with_server(test)


def test_namespaces_are_listed_and_set() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        _, listed, _ = await client("GET", "/v1/memory/namespaces")
        assert [row["name"] for row in listed["items"] if row["fixed"]] == ["soul"]
        status, changed, _ = await client("PUT", "/v1/memory/namespaces", json={"name": "recipes", "privacy": "shared"})
        assert status == 200
        assert {"recipes": "shared"}.items() <= {row["name"]: row["privacy"] for row in changed["items"]}.items()
        for body in ({"name": "Recipes", "privacy": "shared"}, {"name": "recipes", "privacy": "public"}, {}):
            assert (await client("PUT", "/v1/memory/namespaces", json=body))[0] == 400

    with_server(test)


def test_what_happened_is_asked_by_time() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        await client("POST", "/v1/memory", json={"kind": "episodic", "content": "we met"})
        _, listed, _ = await client("GET", "/v1/memory/episodes")
        assert [row["content"] for row in listed["items"]] == ["we met"]
        assert (await client("GET", "/v1/memory/episodes?when=1999-05-14"))[1]["items"] == []
        assert (await client("GET", "/v1/memory/episodes?when=2026-11-18"))[1]["items"] != []
        assert (await client("GET", "/v1/memory/episodes?when=soonish"))[1]["code"] == 40036
        _, found, _ = await client("POST", "/v1/memory/search", json={"query": "met", "when": "in May 1999"})
        assert found["items"] == []

    with_server(test)


def test_forgetting_shows_first_and_says_what_it_cannot_reach() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        for n in range(3):
            await client("POST", "/v1/memory", json={"kind": "semantic", "content": f"fact {n}", "namespace": "ask"})
        _, would, _ = await client("POST", "/v1/memory/forget", json={"query": "fact 1", "dry_run": True})
        assert (would["forgotten"], would["memories"], [row["content"] for row in would["items"]]) == (
            False,
            1,
            ["fact 1"],
        )
        assert len(twin.memory.rows) == 3
        _, done, _ = await client("POST", "/v1/memory/forget", json={"query": "fact 1"})
        assert done["forgotten"]
        assert done["held"] == [{"what": "message", "name": "m1", "hint": "to did:key:z6Mk"}]
        assert len(twin.memory.rows) == 2
        assert (await client("POST", "/v1/memory/forget", json={"query": "nothing like it"}))[1]["memories"] == 0
        assert len(twin.memory.rows) == 2  # a query that finds nothing is not one for everything
        assert (await client("POST", "/v1/memory/forget", json={}))[1]["code"] == 40038
        assert (await client("POST", "/v1/memory/forget", json={"namespace": "ask"}))[1]["memories"] == 2

    with_server(test)


def test_consolidation_and_the_index_are_told_of() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        _, done, _ = await client("POST", "/v1/memory/consolidate", json={})
        assert (done["episodes"], done["merged"], done["more"]) == (1, 2, True)
        _, state, _ = await client("GET", "/v1/memory/index")
        counts = {"vectors": 0, "memories": 0, "waiting": 0, "unreachable": 0}
        assert state == {"model": "words", "dimensions": 64, "exact": True, "filled": 1.0, "task": "idle", **counts}

    with_server(test)


def test_messages() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        basic = "https://didcomm.org/basicmessage/2.0/message"
        status, sent, _ = await client(
            "POST", "/v1/didcomm/send", json={"to": OTHER, "type": basic, "body": {"content": "hi"}, "thid": "t"}
        )
        assert (status, sent["status"]) == (200, "queued")
        _, outbox, _ = await client("GET", "/v1/didcomm/outbox")
        assert outbox["items"][0] == {
            "id": sent["id"],
            "from": twin.did,
            "to": OTHER,
            "type": basic,
            "body": {"content": "hi"},
            "thid": "t",
            "pthid": None,
            "attachments": [],
            "created_time": NOW,
            "received_time": None,
            "sent_time": None,
            "delivered_time": None,
            "status": "queued",
            "via": None,
            "attempts": 1,
            "error": "no connection",
        }
        _, sent, _ = await client(
            "POST", "/v1/didcomm/send", json={"to": "me", "type": basic, "body": {"content": "hi"}, "wait_s": 5}
        )
        assert sent["status"] == "delivered"
        _, inbox, _ = await client("GET", "/v1/didcomm/inbox")
        assert inbox["items"][0]["id"] == sent["id"]
        assert inbox["items"][0]["from"] is None
        assert inbox["items"][0]["received_time"] == NOW
        assert inbox["items"][0]["via"] == "libp2p"
        refused = await client("POST", "/v1/didcomm/send", json={"to": "nobody", "type": basic, "body": {}})
        assert refused[1]["code"] == 40003

    with_server(test)


def test_a_message_with_everything() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        cid = str(Cid.of(CODEC_RAW, b"a picture"))
        whole = {
            "to": OTHER, "type": "https://x.example/1.0/y", "body": {}, "thid": "t", "pthid": "p", "please_ack": True,
            "expires_s": 60, "pack": "anoncrypt-authcrypt",
            "attachments": [{"cid": cid, "media_type": "image/png", "filename": "a.png", "byte_count": 9}],
        }  # fmt: skip
        assert (await client("POST", "/v1/didcomm/send", json=whole))[0] == 200
        [row] = (await client("GET", "/v1/didcomm/outbox"))[1]["items"]
        assert (row["pthid"], twin.mail.sent[0].form) == ("p", "anoncrypt-authcrypt")
        assert row["attachments"] == [
            {"id": None, "cid": cid, "media_type": "image/png", "filename": "a.png", "format": None, "byte_count": 9}
        ]
        for wrong in (
            {"pack": "plain"},
            {"attachments": [{"cid": "no cid"}]},
            {"attachments": [{"cid": cid, "filename": "../a"}]},
            {"expires_s": 0},
            {"thid": ""},
        ):
            status, problem, _ = await client("POST", "/v1/didcomm/send", json={**whole, **wrong})
            assert status == 400, (wrong, problem)

    with_server(test)


def test_ping_and_discover() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, pong, _ = await client("POST", "/v1/didcomm/ping", json={"to": FRIEND})
        assert (status, pong["did"]) == (200, FRIEND)
        assert pong["ms"] >= 0
        assert (await client("POST", "/v1/didcomm/ping", json={"to": "me"}))[1]["code"] == 40051
        status, problem, _ = await client("POST", "/v1/didcomm/ping", json={"to": OTHER, "timeout_s": 1})
        assert (status, problem["code"]) == (504, 50450)
        _, told, _ = await client("POST", "/v1/didcomm/discover", json={"to": FRIEND, "match": "https://didcomm.org/*"})
        assert told["features"] == [
            {"feature_type": "protocol", "id": "https://didcomm.org/trust-ping/2.0", "roles": ["sender", "receiver"]}
        ]
        _, told, _ = await client("POST", "/v1/didcomm/discover", json={"to": FRIEND, "feature_type": "header"})
        assert told["features"] == []

    with_server(test)


def test_invitations() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        asked = {"goal": "dinner", "uses": 2, "expires_s": 60, "name": "Bela"}
        status, made, _ = await client("POST", "/v1/didcomm/invitation", json=asked)
        assert (status, made["did"], made["goal"], made["uses"], made["used"]) == (200, twin.did, "dinner", 2, 0)
        assert made["expires"] == "2026-11-18T11:07:40.250Z"
        assert (await client("GET", "/v1/didcomm/invitations"))[1]["items"] == [made]
        status, accepted, _ = await client("POST", "/v1/didcomm/accept", json={"url": made["url"]})
        assert (status, accepted) == (200, {"did": twin.did, "name": None, "status": "queued"})
        assert (await client("POST", "/v1/didcomm/accept", json={"url": "https://a.example/"}))[0] == 400
        assert (await client("DELETE", f"/v1/didcomm/invitations/{made['id']}"))[1] == {"id": made["id"]}
        assert (await client("DELETE", f"/v1/didcomm/invitations/{made['id']}"))[1]["code"] == 40446
        for wrong in ({"uses": 0}, {"uses": 1001}, {"expires_s": 59}, {"goal": ""}, {"goal": "a\nb"}, {"id": "mine"}):
            assert (await client("POST", "/v1/didcomm/invitation", json=wrong))[0] == 400, wrong

    with_server(test)


def test_playbooks() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        empty = (await client("GET", "/v1/playbooks/common"))[1]
        assert (empty["version"], empty["heads"], empty["bullets"]) == (0, [], [])
        ops = [
            {"op": "add", "section": "habits", "text": "Measure first.", "tags": ["care"]},
            {"op": "set", "key": "instructions", "value": "Always plan."},
            {"op": "set", "key": "reflection.every", "value": 5},
            {"op": "tool", "name": "clock", "meta": {"description": "Tells the time."}},
            {"op": "metric", "name": "success_rate", "sum": 3, "count": 4},
        ]
        status, proposed, _ = await client(
            "POST", "/v1/playbooks/common/revisions", json={"critique": "too hasty", "ops": ops}
        )
        assert status == 200
        playbook = (await client("GET", "/v1/playbooks/common"))[1]
        assert playbook["version"] == 1
        assert playbook["heads"] == [proposed["cid"]]
        assert playbook["settings"] == {"instructions": "Always plan.", "reflection.every": 5}
        assert playbook["tools"] == {"clock": {"description": "Tells the time."}}
        assert playbook["metrics"] == {"success_rate": {"sum": 3.0, "count": 4, "mean": 0.75}}
        assert "Measure first." in playbook["toml"]
        assert len(playbook["state_hash"]) == 64
        (bullet,) = playbook["bullets"]
        assert (bullet["text"], bullet["revision"], bullet["helpful"]) == ("Measure first.", proposed["cid"], 0)

        ops = [{"op": "helpful", "id": bullet["id"]}, {"op": "remove", "id": bullet["id"]}]
        path = "/v1/playbooks/common"
        _, second, _ = await client("POST", f"{path}/revisions", json={"critique": "no", "ops": ops})
        _, log, _ = await client("GET", f"{path}/revisions?status=adopted")
        assert [row["cid"] for row in log["items"]] == [second["cid"], proposed["cid"]]
        assert log["items"][1] == {
            "cid": proposed["cid"],
            "author": did_key(KEYS.public),
            "height": 1,
            "ts": NOW,
            "critique": "too hasty",
            "status": "adopted",
            "reason": "written here",
            "changes": [],
            "bullets": [],
        }
        _, told, _ = await client("GET", f"{path}/revisions?changes=true&limit=1")
        assert told["next"]
        assert (told["items"][0]["cid"], told["items"][0]["changes"]) == (second["cid"], ["+ a line"])
        first = proposed["cid"]
        assert (await client("POST", f"{path}/revisions/{first}/approve"))[1]["version"] == 2
        assert (await client("POST", f"{path}/revisions/{first}/reject", json={"reason": "no"}))[0] == 200
        assert (await client("POST", f"{path}/rollback", json={"to": first}))[0] == 200
        assert (await client("POST", f"/v1/playbooks/other/revisions/{first}/approve"))[1]["code"] == 40451
        assert (await client("POST", f"{path}/revisions/nonsense/approve"))[1]["code"] == 40002
        for method, bad in (("GET", "Not%20a%20name"), ("GET", "A/revisions")):
            assert (await client(method, f"/v1/playbooks/{bad}"))[1]["code"] == 40010

    with_server(test)


def test_trust() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, trust, _ = await client("GET", "/v1/trust")
        assert (status, trust) == (200, {"allow": [], "block": [], "reputation_threshold": 1.0, "auto_adopt": False})
        wanted = {"allow": [OTHER], "block": [], "reputation_threshold": 0.5, "auto_adopt": True}
        assert (await client("PUT", "/v1/trust", json=wanted))[1] == wanted
        assert (await client("GET", "/v1/trust"))[1] == wanted
        status, problem, _ = await client("PUT", "/v1/trust", json={**wanted, "allow": ["somebody"]})
        assert (status, problem["code"]) == (400, 40003)
        assert (await client("GET", "/v1/trust"))[1] == wanted

    with_server(test)


def test_content() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        data = bytes(range(256)) * 8192  # 2 MiB: over the bound of a JSON body
        status, added, _ = await client("POST", "/v1/ipfs/add", data=io.BytesIO(data))
        assert (status, added["size_bytes"]) == (200, len(data))
        status, back, headers = await client("GET", f"/v1/ipfs/cat/{added['cid']}")
        assert status == 200
        assert back == data
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert (await client("GET", "/v1/ipfs/cat/nonsense"))[1]["code"] == 40002
        gone = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        assert (await client("GET", f"/v1/ipfs/cat/{gone}"))[1]["code"] == 40452

    with_server(test)


def test_tools() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        _, tools, _ = await client("GET", "/v1/tools")
        assert tools["items"][0]["name"] == "add"
        assert tools["items"][0]["plugin"] == "arithmetic"
        body = {"parameters": {"a": 1, "b": 2}}
        assert (await client("POST", "/v1/tools/add/execute", json=body))[1] == {"result": 3}
        assert (await client("POST", "/v1/tools/add/execute", json={**body, "twin_id": "me"}))[0] == 200
        assert (await client("POST", "/v1/tools/add/execute", json={**body, "twin_id": twin.did}))[0] == 200
        assert (await client("POST", "/v1/tools/add/execute", json={**body, "twin_id": OTHER}))[1]["code"] == 40481
        assert (await client("POST", "/v1/tools/add/execute", json={}))[0] == 400
        assert (await client("POST", "/v1/tools/none/execute", json={}))[0] == 404
        assert (await client("DELETE", "/v1/tools/area"))[1] == {"name": "area"}
        assert (await client("DELETE", "/v1/tools/area"))[1]["code"] == 40458

    with_server(test)


def test_artifacts() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        artifact = {"type": "capability", "level": 3}
        status, signed, _ = await client("POST", "/v1/artifacts/sign", json={"artifact": artifact})
        assert (status, signed["did"], signed["artifact"]) == (200, twin.did, artifact)
        assert (await client("POST", "/v1/artifacts/verify", json=signed))[1] == {"valid": True}
        changed = {**signed, "artifact": {**artifact, "level": 4}}
        assert (await client("POST", "/v1/artifacts/verify", json=changed))[1] == {"valid": False}
        status, problem, _ = await client("POST", "/v1/artifacts/sign", json={"artifact": 2**53})
        assert (status, problem["code"]) == (400, 40005)
        peer = make_did_peer_2(KEYS.public, agreement_key_of(KEYS.public), ())
        assert (await client("POST", "/v1/artifacts/verify", json={**signed, "did": peer}))[1] == {"valid": True}
        status, problem, _ = await client("POST", "/v1/artifacts/verify", json={**signed, "did": "did:web:example.org"})
        assert (status, problem["code"]) == (502, 50207)

    with_server(test)


def test_a_task_is_posted_listed_shown_and_rated() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, posted, _ = await client("POST", "/v1/tasks", json={"task": "count the tides"})
        assert (status, posted["status"], posted["given"]) == (200, "open", True)
        _, listed, _ = await client("GET", "/v1/tasks")
        assert [item["id"] for item in listed["items"]] == [posted["id"]]
        _, shown, _ = await client("GET", f"/v1/tasks/{posted['id']}")
        assert [bid["confidence"] for bid in shown["bids"]] == [0.5]
        _, rated, _ = await client("POST", f"/v1/tasks/{posted['id']}/rate", json={"quality": 1})
        assert rated["receipt"]["artifact"]["quality"] == 1.0
        status, problem, _ = await client("GET", "/v1/tasks/no-such-task")
        assert (status, problem["code"]) == (404, 40457)

    with_server(test)


def test_a_tasks_deadline_must_be_a_time_of_the_next_days() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        for deadline in ("soon", "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "2026-12-01T00:00:00"):
            status, problem, _ = await client("POST", "/v1/tasks", json={"task": "t", "deadline": deadline})
            assert (status, "deadline" in problem["detail"]) == (400, True)

    with_server(test)


def test_a_standing_comes_with_its_terms() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, standing, _ = await client("GET", "/v1/twins/me/reputation")
        assert status == 200
        assert standing["terms"] == [{"source": "receipt", "good": 2.0, "bad": 0.0, "detail": "2 seen here"}]

    with_server(test)


def test_who_keeps_our_mail() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, document, _ = await client("GET", "/v1/didcomm/mediators")
        kept, denied = document["items"]
        assert status == 200
        assert (kept["state"], kept["waiting"], kept["picked_up_time"]) == ("granted", 3, "2023-11-14T22:14:20.000Z")
        assert (denied["state"], denied["routing_did"], denied["uris"]) == ("denied", None, [])
        assert denied["reason"] == "it keeps no mail for us"

    with_server(test)


def test_a_value_of_the_wrong_form_is_told_without_regular_expressions() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        ops = [{"op": "remove", "id": "X"}]
        status, problem, _ = await client("POST", "/v1/playbooks/common/revisions", json={"critique": "c", "ops": ops})
        assert status == 400
        assert problem["detail"].startswith("'id' is not a bullet's id")

    with_server(test)


def test_jobs_are_given_followed_stopped_and_decided_on() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, job, _ = await client("POST", "/v1/jobs", json={"goal": "wait", "deadline_s": 60})
        assert (status, job["status"]) == (200, "waiting_approval")
        path = f"/v1/jobs/{job['id']}"
        status, told, headers = await client("GET", f"{path}/events")
        assert (status, headers["Content-Type"]) == (200, "text/event-stream")
        kinds = [line[7:] for line in told.decode().splitlines() if line.startswith("event: ")]
        assert kinds == ["step", "step", "approval", "text", "end"]
        assert (await client("GET", "/v1/jobs/none/events"))[0] == 404
        (approval,) = (await client("GET", "/v1/approvals"))[1]["items"]
        assert (approval["tool"], approval["arguments"], approval["status"]) == ("add", {"a": 1}, "pending")
        decide = f"/v1/approvals/{approval['id']}"
        assert (await client("POST", decide, json={"decision": "maybe"}))[0] == 400
        assert (await client("POST", decide, json={"decision": "approve"}))[1]["status"] == "approved"
        assert (await client("POST", decide, json={"decision": "approve"}))[0] == 409
        assert (await client("GET", "/v1/approvals"))[1]["items"] == []
        assert len((await client("GET", "/v1/approvals?status=all"))[1]["items"]) == 1
        assert (await client("GET", "/v1/approvals/none"))[0] == 404
        for verb, after in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
            assert (await client("POST", f"{path}/{verb}"))[1]["status"] == after
        assert (await client("POST", f"{path}/cancel"))[0] == 409

    with_server(test)
