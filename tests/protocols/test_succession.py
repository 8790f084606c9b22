import pytest

from protocols import limits
from protocols.errors import LocalProtocolError, MalformedMessage
from protocols.gossip import check_body, slot_of
from protocols.message import Message
from protocols.succession import SUCCESSION, SuccessionNotice

CREDENTIAL = {"id": "urn:uuid:1", "issuer": "did:example:a"}


def test_a_notice_comes_back() -> None:
    notice = SuccessionNotice("urn:uuid:1", CREDENTIAL)
    assert SuccessionNotice.from_body(notice.to_body()) == notice


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": "urn:uuid:1"},
        {"credential": CREDENTIAL},
        {"id": "urn:uuid:2", "credential": CREDENTIAL},
        {"id": "urn:uuid:1", "credential": [CREDENTIAL]},
        {"id": 7, "credential": {"id": 7}},
        {"id": "urn:uuid:1", "credential": {**CREDENTIAL, "x": "x" * limits.MAX_SUCCESSION_BYTES}},
        {"id": "x" * 300, "credential": {"id": "x" * 300}},
    ],
)
def test_what_is_none_is_refused_before_it_is_kept(body: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage):
        SuccessionNotice.from_body(body)
    with pytest.raises(MalformedMessage):
        check_body(Message(id="1", type=SUCCESSION, body=body, created_time=1))


def test_nonsense_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError):
        SuccessionNotice("urn:uuid:2", CREDENTIAL).to_body()


def test_two_successions_of_one_author_are_both_kept_and_the_same_one_again_is_not() -> None:
    slots = [slot_of(Message(id="1", type=SUCCESSION, body={"id": one}, created_time=1)) for one in ("a", "b", "a")]
    assert slots[0] == slots[2] != slots[1]
