from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from protocols import limits
from protocols.didcomm.envelope import pack_signed
from protocols.errors import MalformedMessage
from protocols.gossip import MAX_SUBJECT_CHARS, check_body, slot_of
from protocols.message import Message
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update
from protocols.swarm import TASK_BROADCAST, TWIN_OFFLINE, TWIN_ONLINE, Mediator, TaskBroadcast, TwinOnline

CAPABILITIES = ("ask", "playbook", "recall", "tool_use")
ONLINE = TwinOnline("Ada", (), ("ask",), ("tides",), "1").to_body()
UPDATE = Update("common", (Cid.of(CODEC_DAG_JOSE, b"head"),)).to_body()

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
bodies = st.dictionaries(st.sampled_from(["playbook", "id", "name", "heads", "x"]), json)


def message(message_type: str, body: dict[str, object]) -> Message:
    return Message(id="1", type=message_type, body=body, created_time=1)


def test_coming_and_leaving_replace_each_other() -> None:
    assert slot_of(message(TWIN_ONLINE, ONLINE)) == slot_of(message(TWIN_OFFLINE, {})) == (TWIN_ONLINE, "")


def test_playbooks_and_tasks_stand_beside_each_other() -> None:
    assert slot_of(message(PLAYBOOK_UPDATE, UPDATE)) == (PLAYBOOK_UPDATE, "common")
    assert slot_of(message(TASK_BROADCAST, {"id": "7"})) == (TASK_BROADCAST, "7")
    assert slot_of(message("https://test.example/1.0/other", {"id": "7"}))[1] == ""


@given(st.sampled_from([PLAYBOOK_UPDATE, TASK_BROADCAST, TWIN_ONLINE, "x"]), bodies)
def test_every_message_has_a_bounded_slot(message_type: str, body: dict[str, object]) -> None:
    kind, subject = slot_of(message(message_type, body))
    assert kind
    assert len(subject) <= MAX_SUBJECT_CHARS


TASK = TaskBroadcast("7", "Count the stars.", ("research",), 1_700_000_000).to_body()


@pytest.mark.parametrize(
    ("message_type", "body"), [(TWIN_ONLINE, ONLINE), (PLAYBOOK_UPDATE, UPDATE), (TASK_BROADCAST, TASK)]
)
def test_a_body_of_a_known_type_is_read(message_type: str, body: dict[str, object]) -> None:
    check_body(message(message_type, body))
    for member in body:
        with pytest.raises(MalformedMessage):
            check_body(message(message_type, {**body, member: False}))
        with pytest.raises(MalformedMessage):
            check_body(message(message_type, {name: value for name, value in body.items() if name != member}))


def test_a_message_that_does_not_say_when_it_was_made_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        check_body(replace(message(TWIN_ONLINE, ONLINE), created_time=None))


def test_the_longest_announcement_of_ours_can_be_gossiped() -> None:
    body = TwinOnline(
        name="\N{SMILING FACE WITH SMILING EYES}" * limits.MAX_TWIN_NAME_CHARS,
        addresses=tuple(f"{n:0{limits.MAX_ADDRESS_CHARS}}" for n in range(limits.MAX_ADDRESSES)),
        capabilities=CAPABILITIES,
        topics=tuple(f"{n:x}" + "\N{SMILING FACE WITH SMILING EYES}" * 47 for n in range(limits.MAX_TOPICS)),
        version="1" * limits.MAX_VERSION_CHARS,
        mediators=tuple(
            Mediator(
                Did("did:peer:2" + str(n) * 246), (f"{n:0{limits.MAX_ADDRESS_CHARS}}", "u" * limits.MAX_ADDRESS_CHARS)
            )
            for n in range(limits.MAX_MEDIATORS)
        ),
    ).to_body()
    keys = KeyPair(bytes(32))
    author = did_key(keys.public)
    longest = Message(id="1" * 36, type=TWIN_ONLINE, body=body, from_=author, created_time=2**33)
    assert len(pack_signed(longest, signer=keys)) < 16 * 1024 == limits.MAX_GOSSIP_BYTES


@given(bodies)
def test_an_unknown_type_may_hold_anything(body: dict[str, object]) -> None:
    check_body(message("https://test.example/1.0/other", body))
    check_body(message(TWIN_OFFLINE, body))
