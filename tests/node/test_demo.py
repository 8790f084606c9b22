"""`pagi demo` as a person runs it: every step with its evidence, and a failure where something does not happen."""

from pathlib import Path

import pytest

from identity.cid import Cid
from identity.did import parse_did
from tests.node.processes import Outcome, pagi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = (
    {"processes"},
    {"Ada", "Bela", "Cleo"},
    {"allow"},
    {"memories", "first", "topics"},
    {"job", "thread", "written by", "ask_twin_ms", "memory"},
    {"revision", "state_hash", "adopted by"},
    {"plan", "asks"},
    {"killed", "message", "status", "kept by", "revision"},
    {"message", "playbook", "state_hash"},
)
"""What each step has to show, in order."""


def demo(*options: str) -> Outcome:
    return pagi("demo", "--twins", "3", "--model", "none", *options, timeout_s=240)


def test_the_story_happens(tmp_path: Path) -> None:
    outcome = demo("--json")
    assert outcome.status == 0, outcome.stdout + outcome.stderr
    told = outcome.document
    assert told["ok"] is True
    assert told["failure"] is None
    assert [step["n"] for step in told["steps"]] == list(range(1, len(STEPS) + 1))
    for step, wanted in zip(told["steps"], STEPS, strict=True):
        assert step["title"]
        assert step["ms"] > 0
        assert wanted <= step["evidence"].keys()
        assert all(step["evidence"].values())
    start, _, _, facts, asked, learned, planned, lost, back = [step["evidence"] for step in told["steps"]]
    assert len(set(start["processes"].values())) == 4, "a relay and three twins, each a process"
    assert asked["memory"] != asked["job"]
    assert asked["written by"].startswith("none (DEGRADED")
    assert parse_did(planned["asks"])
    assert len({Cid.parse(learned["revision"]), Cid.parse(lost["revision"])}) == 2
    assert learned["adopted by"] == 3
    assert (lost["killed"], lost["status"], "mediator" in lost["kept by"]) == ("Cleo", "sent", True)
    assert back["message"].startswith(f"{lost['message']}, once")
    assert back["state_hash"] != learned["state_hash"]
    assert facts["memories"] > 1


def test_it_fails_when_nobody_knows_the_answer(tmp_path: Path) -> None:
    facts = tmp_path / "facts.txt"
    facts.write_text("Basalt is a dark rock.\n\nIt forms where lava cools quickly.\n")
    outcome = demo("--json", "--facts", str(facts))
    assert outcome.status == 1
    told = outcome.document
    assert told["ok"] is False
    assert "Ada did not get its answer from Bela" in told["failure"]
    assert len(told["steps"]) == 4, "the steps before are told, and none after"


def test_it_fails_without_the_facts(tmp_path: Path) -> None:
    outcome = demo("--facts", str(tmp_path / "absent.txt"))
    assert outcome.status == 1
    assert "absent.txt" in outcome.stderr
    assert "Traceback" not in outcome.stderr
