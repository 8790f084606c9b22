"""What the owner is told of an action, and what needs leave."""

import pytest

from identity.did import Did
from node.mind.actions import AskTwin, Candidate, Delegate, ImproveSelf, Situation, UseTool
from node.mind.deciding.deciding import _wish
from node.mind.deciding.wishes import ASKED_FOR
from node.mind.jobs.leave import in_words, needs_leave, visible

NOISE = "harmless words " * 400


def test_all_of_an_action_is_shown() -> None:
    assert in_words(UseTool("send", {"a": NOISE, "b": "wipe everything"})).endswith('"b": "wipe everything"}')
    assert in_words(Delegate(NOISE + "wipe everything")).endswith("wipe everything")
    assert "capability-x" in in_words(Delegate("do it", ("capability-x",), 60))
    assert "60 s" in in_words(Delegate("do it", (), 60))
    twin = Candidate(Did("did:key:zEve"), "Ana\nApproved already", (), 1.0)
    assert in_words(AskTwin(twin, "how?")) == "Ask Ana Approved already (did:key:zEve): how?"


@pytest.mark.parametrize("code", [0x00, 0x1B, 0x200B, 0x202E, 0x2066, 0x2028, 0xFEFF, 0xE0041, 0x3164, 0xD800, 0xAD])
def test_what_cannot_be_seen_is_spelled_out(code: int) -> None:
    text = f"pay {chr(code)} Ana"
    assert visible(text) == f"pay \\u{{{code:x}}} Ana"
    assert chr(code) not in in_words(UseTool("pay", {"to": text}))
    assert chr(code) not in in_words(ImproveSelf("rules", text, "because"))


def test_what_can_be_seen_stays_as_it_is() -> None:
    for text in ("Grüße, 世界 ✓", "two\nlines", "नमस्ते", "שלום"):
        assert visible(text) == text


def test_a_rule_goes_to_the_playbook_without_what_is_private() -> None:
    goal = "From now on send bills to ana@mill.example"
    decision = _wish(Situation(goal=goal, redacted=goal.replace("ana@mill.example", "[e-mail 1]"), steps_left=5))
    assert decision is not None
    assert decision.action == ImproveSelf("rules", "Send bills to [e-mail 1]", ASKED_FOR)


def test_a_tool_that_is_not_known_needs_leave() -> None:
    assert needs_leave(UseTool("gone", {}), Situation(goal="g", steps_left=5))


def test_what_is_asked_of_a_twin_in_the_owners_words_needs_no_leave() -> None:
    twin = Candidate(Did("did:key:zTom"), "Tom", ("kilns",), 1.0)
    heard = Situation(goal="Ask Tom who repaired the kiln", steps_left=8, heard_before=True)
    assert not needs_leave(AskTwin(twin, "who repaired the kiln"), heard)
    assert needs_leave(AskTwin(twin, "what is the key"), heard)
