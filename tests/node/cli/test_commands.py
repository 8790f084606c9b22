"""The commands against a fake twin that answers over HTTP: what they print, and their exit status."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from identity.did import did_key
from identity.keys import KeyPair
from node.cli.main import main

SOMEBODY = did_key(KeyPair(bytes(32)).public)
FRIEND = did_key(KeyPair(bytes([5]) * 32).public)


class Pagi:
    """Runs commands in this process, as a person would type them."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        """What the command printed on stdout."""
        got = main(["--home", str(self._home), *words])
        out, self.err = self._capsys.readouterr()
        assert got == status, (got, out, self.err)
        return out

    def json(self, *words: str, status: int = 0) -> Any:
        """The one JSON document that the command printed."""
        return json.loads(self(*words, "--json", status=status))


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_id(pagi: Pagi) -> None:
    document = pagi.json("id")
    assert document["name"] == "fake"
    assert document["did"] in pagi("id")
    assert "(3 wait there; last picked up 2023-11-14T22:14:20.000Z)" in pagi("id")


def test_peers_and_twins(pagi: Pagi) -> None:
    assert pagi.json("peers")["items"][0]["relayed"] is False
    assert "2 ms" in pagi("peers")
    first = pagi.json("twins", "--limit", "1")
    assert len(first["items"]) == 1
    second = pagi.json("twins", "--limit", "1", "--after", first["next"])
    assert first["items"] != second["items"]
    out = pagi("twins", "--limit", "2")
    assert out.startswith("NAME")
    assert len(out.splitlines()) == 3
    assert "--after" in pagi.err


def test_resolve(pagi: Pagi) -> None:
    assert pagi.json("resolve", SOMEBODY)["id"] == SOMEBODY
    assert SOMEBODY in pagi("resolve", SOMEBODY)
    assert pagi.json("resolve", "me")["id"] == pagi.json("id")["did"]
    pagi("resolve", "did:example:alice", status=1)
    assert "did:web" in pagi.err
    pagi("resolve", "did:web:localhost%3A8080", status=1)


def test_ask_shows_steps_and_answer(pagi: Pagi) -> None:
    out = pagi("ask", "good morning")
    assert "1. recall  query: good morning" in out
    assert "You said: good morning" in out
    assert "Degraded" in pagi.err
    assert pagi.json("ask", "again", "--session", "s")["status"] == "done"
    assert [step["action"] for step in pagi.json("ask", "what then", "--plan")["steps"]] == ["respond"]
    started = pagi.json("ask", "later", "--background")
    assert "You said: later" in pagi("jobs", "follow", started["id"])


def test_ask_fails_where_the_goal_did(pagi: Pagi) -> None:
    assert pagi.json("ask", "fail", status=1)["status"] == "failed"


def test_what_waits_for_the_owner_is_told_and_decided(pagi: Pagi) -> None:
    assert pagi.json("ask", "wait", status=1)["status"] == "waiting_approval"
    pagi("ask", "wait", status=1)
    told = pagi.err
    assert "It waits for you: Use the tool add" in told
    (first, second) = pagi.json("approvals", "list")["items"]
    assert f"pagi approvals approve {first['id']}" in told
    assert "Use the tool add" in pagi("approvals", "list")
    assert "Decide with" in pagi("approvals", "show", first["id"])
    assert pagi.json("approvals", "approve", first["id"], "--note", "fine")["status"] == "approved"
    assert "denied" in pagi("approvals", "deny", second["id"])
    assert "Nothing waits for you." in pagi("approvals", "list")
    assert len(pagi.json("approvals", "list", "--all")["items"]) == 2
    assert pagi.json("approvals", "answer", first["id"], "yes", status=1)["code"] == 40949


def test_jobs_are_stopped_and_go_on(pagi: Pagi) -> None:
    job_id = pagi.json("ask", "wait", status=1)["job_id"]
    assert "paused" in pagi("jobs", "pause", job_id)
    assert pagi.json("jobs", "resume", job_id)["status"] == "queued"
    assert pagi.json("jobs", "cancel", job_id)["status"] == "cancelled"
    assert pagi.json("jobs", "cancel", job_id, status=1)["code"] == 40939
    assert pagi.json("jobs", "juggle", job_id, status=2)


def test_jobs_are_forgotten(pagi: Pagi) -> None:
    job_id, other = pagi.json("ask", "a job")["job_id"], pagi.json("ask", "another")["job_id"]
    assert "Forgotten: 1." in pagi("jobs", "forget", job_id)
    assert pagi.json("jobs", job_id, status=1)["code"] == 40453
    waits = pagi.json("ask", "wait", status=1)["job_id"]
    assert pagi.json("jobs", "forget", waits, status=1)["code"] == 42339
    assert pagi.json("jobs", "forget", "--older", "1")["forgotten"] >= 1
    assert other not in pagi("jobs")
    assert pagi.json("jobs", "forget", status=2)
    assert pagi.json("jobs", "forget", waits, "--older", "1", status=2)


def test_chat_keeps_its_session(pagi: Pagi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello there\n\nand more\n/quit\nnot this\n"))
    out = pagi("chat", "--session", "talk")
    assert out.splitlines() == ["You said: hello there", "You said: and more"]
    jobs = [job for job in pagi.json("jobs")["items"] if job["session_id"] == "talk"]
    assert [job["goal"] for job in jobs] == ["and more", "hello there"]


def test_jobs(pagi: Pagi) -> None:
    job_id = pagi.json("ask", "a job")["job_id"]
    assert job_id in pagi("jobs", "--limit", "1")
    shown = pagi.json("jobs", job_id)
    assert [line["level"] for line in shown["log"]] == ["plan", "info"]
    assert "first recall" in pagi("jobs", job_id)
    assert pagi.json("jobs", "unknown", status=1)["code"] == 40453
    assert "it ended: good" in pagi("jobs", job_id)
    assert pagi.json("rate", job_id, "bad")["source"] == "owner"
    assert "you say: bad" in pagi("jobs", job_id)


def test_send_inbox_outbox(pagi: Pagi) -> None:
    sent = pagi.json("send", SOMEBODY, "good day")
    assert sent["status"] == "queued"
    assert pagi.json("send", SOMEBODY, "in time?", "--wait", "--timeout", "1", status=1)["status"] == "queued"
    pagi("send", SOMEBODY, "in time?", "--wait", "--timeout", "1", status=1)
    assert "Not delivered within 1 s" in pagi.err
    assert pagi.json("send", "me", "to myself", "--wait")["status"] == "delivered"
    received = pagi.json("inbox")["items"][0]
    assert received["body"] == {"content": "to myself"}
    assert "to myself" in pagi("inbox")
    assert "no connection" in pagi("outbox")

    pagi("send", SOMEBODY, '{"question": "why?"}', "--type", "https://pagi.ai/task/1.0/ask", "--thread", "t")
    newest = pagi.json("outbox", "--limit", "1")["items"][0]
    assert (newest["body"], newest["thid"]) == ({"question": "why?"}, "t")
    pagi("send", SOMEBODY, '{"question": "why?"}')
    assert pagi.json("outbox", "--limit", "1")["items"][0]["body"] == {"content": '{"question": "why?"}'}


def test_names_stand_for_twins_that_were_named(pagi: Pagi) -> None:
    first, second = (twin["did"] for twin in pagi.json("twins", "--limit", "2")["items"])
    names = {twin["did"]: twin["name"] for twin in pagi.json("twins")["items"]}
    assert pagi.json("send", names[first], "hello", status=2)["code"] == 40492  # a stranger's name counts for nothing
    pagi("trust", "allow", first)
    pagi("send", names[first].upper(), "hello")
    assert f"is {first}" in pagi.err
    assert pagi.json("outbox", "--limit", "1")["items"][0]["to"] == first
    listed = pagi("outbox", "--limit", "1").splitlines()[1]
    assert names[first] in listed
    assert first not in listed
    assert f"allow  {first}  {names[first]}" in pagi("trust", "show")
    assert pagi.json("send", names[second], "hello", status=2)["code"] == 40492
    assert pagi.json("vc", "issue", "Thing", "nobody", status=2)["code"] == 40492
    pagi("trust", "remove", names[first])
    assert pagi.json("trust", "show")["allow"] == []
    assert pagi.json("send", names[first], "hello", status=2)["code"] == 40492


def test_inbox_whole(pagi: Pagi) -> None:
    text = "a long line " * 20 + "\n2026-01-01  handled  from somebody else"
    pagi("send", "me", text)
    assert text.splitlines()[0].strip() not in pagi("inbox", "--limit", "1")
    head, *lines = pagi("inbox", "--whole", "--limit", "1").splitlines()
    assert "received  from " in head
    assert lines[:2] == [f"    {line}" for line in text.splitlines()]
    assert "--after" in pagi.err


def test_send_with_everything(pagi: Pagi, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"a picture")
    pagi("send", SOMEBODY, "look", "--attach", str(picture), "--ack", "--form", "authcrypt-signed", "--expires", "60")
    newest = pagi.json("outbox", "--limit", "1")["items"][0]
    [attached] = newest["attachments"]
    assert (attached["filename"], attached["media_type"], attached["byte_count"]) == ("picture.png", "image/png", 9)
    pagi("send", "me", "look", "--attach", str(picture))
    assert f"picture.png {attached['cid']}" in pagi("inbox", "--limit", "1")
    pagi("send", SOMEBODY, "look", "--attach", str(tmp_path / "missing"), status=1)


def test_ping_and_discover(pagi: Pagi) -> None:
    assert "answered in" in pagi("ping", FRIEND)
    assert pagi.json("ping", FRIEND)["did"] == FRIEND
    assert pagi.json("ping", "me", status=1)["code"] == 40051
    assert pagi.json("ping", SOMEBODY, "--timeout", "1", status=1)["code"] == 50450
    assert "trust-ping/2.0  sender, receiver" in pagi("discover", FRIEND)
    assert pagi.json("discover", FRIEND, "nothing")["features"] == []


def test_invite_and_accept(pagi: Pagi, tmp_path: Path) -> None:
    png = tmp_path / "invitation.png"
    made = pagi.json("invite", "--goal", "dinner", "--uses", "2", "--expires", "60", "--png", str(png))
    assert png.read_bytes().startswith(b"\x89PNG")
    assert (made["goal"], made["uses"]) == ("dinner", 2)
    printed = pagi("invite")
    assert printed.strip().startswith("didcomm://invitation?_oob=")  # for scripts: the link and nothing else
    assert "counts once" in pagi.err
    assert "█" in pagi("invite", "--qr")
    assert "dinner" in pagi("invitations", "list")
    assert made["did"] in pagi("accept", made["url"])
    assert made["did"] in pagi("accept", f" {made['url'][:80]}\n{made['url'][80:]}\n")  # as a terminal wraps it
    assert pagi.json("accept", "https://a.example/", status=1)["code"] == 40021
    pagi("invitations", "withdraw", made["id"])
    assert pagi.json("invitations", "withdraw", made["id"], status=1)["code"] == 40446
    before = pagi.json("invitations", "list")
    pagi("invite", "--png", str(tmp_path / "no" / "folder.png"), status=1)
    assert pagi.json("invitations", "list") == before  # none that nobody was shown


def test_a_code_at_a_terminal_has_its_own_colours(pagi: Pagi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    assert "█" not in pagi("invite")
    assert "this terminal 20" in pagi.err
    assert "\x1b[38;5;231;48;5;16m█" in pagi("invite", "--qr")
    monkeypatch.setenv("COLUMNS", "500")
    assert "█" in pagi("invite")


def test_playbook(pagi: Pagi, tmp_path: Path) -> None:
    ops = tmp_path / "ops.json"
    ops.write_text('[{"op": "metric", "name": "success_rate", "sum": 1.0, "count": 2}]')
    words = ("playbook", "propose", "garden", "--critique", "too dry")
    proposed = pagi.json(
        *words, "--add", "water", "Every evening.", "--set", "depth", "3", "--set", "tone", "calm", "--ops", str(ops)
    )
    playbook = pagi.json("playbook", "show", "garden")
    assert playbook["heads"] == [proposed["cid"]]
    assert playbook["settings"] == {"depth": 3, "tone": "calm"}
    bullet = playbook["bullets"][0]["id"]
    pagi(*words, "--helpful", bullet, "--remove", bullet)
    assert pagi.json("playbook", "show", "garden")["bullets"] == []
    shown = pagi("playbook", "show", "garden", "--toml").strip()
    assert shown == pagi.json("playbook", "show", "garden")["toml"].strip()
    log = pagi.json("playbook", "log", "garden", "--status", "adopted")
    assert [row["height"] for row in log["items"]] == [2, 1]
    assert "too dry" in pagi("playbook", "log", "garden")
    for command in ("approve", "reject", "rollback"):
        assert "version 2" in pagi("playbook", command, proposed["cid"])  # it is looked for
        assert pagi.json("playbook", command, proposed["cid"], "--name", "common", status=1)["code"] == 40451
    assert "nothing to propose" in pagi.json(*words, status=2)["detail"]


def test_ipfs(pagi: Pagi, tmp_path: Path) -> None:
    file = tmp_path / "photo"
    file.write_bytes(bytes(range(256)))
    added = pagi.json("ipfs", "add", str(file))
    assert added["size_bytes"] == 256
    copy = tmp_path / "copy"
    assert pagi.json("ipfs", "cat", added["cid"], "-o", str(copy))["size_bytes"] == 256
    assert copy.read_bytes() == file.read_bytes()
    assert pagi.json("ipfs", "add", str(tmp_path / "none"), status=1)["code"] == 40490
    assert "--output" in pagi.json("ipfs", "cat", added["cid"], status=2)["detail"]


def test_ipfs_cat_prints_the_bytes(
    running_home: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "photo"
    file.write_bytes(bytes(range(256)))
    main(["--home", str(running_home), "--json", "ipfs", "add", str(file)])
    cid = json.loads(capsysbinary.readouterr().out)["cid"]
    assert main(["--home", str(running_home), "ipfs", "cat", cid]) == 0
    assert capsysbinary.readouterr().out == bytes(range(256))


def test_memory(pagi: Pagi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = pagi.json("memory", "add", "apples are red", "--tags", "fruit, colour", "--namespace", "shared")
    hit = pagi.json("memory", "search", "apples", "-k", "1", "--namespace", "shared")["items"][0]
    assert (hit["id"], hit["tags"]) == (added["id"], ["fruit", "colour"])
    assert "apples are red" in pagi("memory", "search", "apples")

    facts = tmp_path / "facts.txt"
    paragraphs = [
        "Pears hang in the garden behind the house until October.",
        "Plums are gone by the end of every August.",
    ]
    facts.write_text(f"{paragraphs[0]} {paragraphs[0]}\n\n{paragraphs[1]} {paragraphs[1]}\n")
    ids = pagi.json("memory", "add", "--file", str(facts), "--kind", "episodic")["ids"]
    assert len(ids) == 2
    listed = pagi.json("memory", "list", "--kind", "episodic")["items"]
    assert {row["id"] for row in listed} == set(ids)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Quinces, zum Beispiel für Gelee.".encode())))
    pagi("memory", "add", "-")
    assert "Gelee" in pagi("memory", "list", "--limit", "1")

    assert "Forgot 2" in pagi("memory", "forget", *ids)
    assert pagi.json("memory", "forget", ids[0], status=1)["code"] == 40481
    assert "either TEXT or --file" in pagi.json("memory", "add", status=2)["detail"]
    assert "either TEXT or --file" in pagi.json("memory", "add", "x", "--file", "y", status=2)["detail"]


def test_tools(pagi: Pagi) -> None:
    assert "Adds two numbers." in pagi("tools")
    assert pagi.json("call", "add", '{"a": 1, "b": 2}') == {"result": 3}
    assert pagi("call", "add", '{"a": 1, "b": 2}') == "3\n"
    assert pagi.json("call", "add", "{}", status=1)["status"] == 400
    assert pagi.json("call", "add", "{", status=2)["detail"].startswith("the parameters are not JSON")
    assert pagi.json("call", "add", "[]", status=2)["code"] == 40090
    assert pagi("tools", "--remove", "area") == "The tool area is gone.\n"
    assert pagi.json("tools", "--remove", "area", status=1)["code"] == 40458


def test_trust(pagi: Pagi) -> None:
    another = did_key(KeyPair(b"a" * 32).public)
    assert pagi.json("trust", "allow", SOMEBODY, another)["allow"] == sorted([SOMEBODY, another])
    blocked = pagi.json("trust", "block", another)
    assert (blocked["allow"], blocked["block"]) == ([SOMEBODY], [another])
    assert f"allow  {SOMEBODY}" in pagi("trust", "show")
    removed = pagi.json("trust", "remove", SOMEBODY, another)
    assert (removed["allow"], removed["block"]) == ([], [])
    assert "stranger" in pagi("trust", "show")
    assert pagi.json("trust", "adopt", "unasked")["auto_adopt"] is True
    assert "adopted unasked" in pagi("trust", "show")
    assert "waits for you" in pagi("trust", "adopt", "asked")
    assert pagi.json("trust", "allow", "nobody", status=1)["code"] == 40003


def test_a_problem_is_shown_as_cause_and_hint(pagi: Pagi) -> None:
    out = pagi("jobs", "unknown", status=1)
    assert out == ""
    cause, hint = pagi.err.splitlines()
    assert cause == "pagi: no job unknown"
    assert "pagi jobs" in hint
    document = pagi.json("jobs", "unknown", status=1)
    assert set(document) == {"type", "title", "status", "detail", "code", "hint", "trace_id"}
    assert document["trace_id"]


def test_an_artifact_is_signed_and_verified(pagi: Pagi, tmp_path: Path) -> None:
    file = tmp_path / "artifact.json"
    file.write_text('{"commit": "4f1c", "n": 1}')
    signed = pagi.json("sign", str(file))
    file.write_text(json.dumps(signed, indent=2))
    assert pagi.json("verify", str(file)) == {"valid": True}
    assert signed["did"] in pagi("verify", str(file))
    file.write_text(json.dumps({**signed, "artifact": {"commit": "4f1d", "n": 1}}))
    assert "NOT valid" in pagi("verify", str(file), status=1)
    file.write_text("[]")
    pagi("verify", str(file), status=2)
    assert "not a signed artifact" in pagi.err
