import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from protocols import limits
from protocols.conversations import pinning, problem_report
from protocols.conversations.pinning import CLIENT, HOST, STATES, About, Pin, Stand, Status
from protocols.errors import LocalProtocolError, MalformedMessage, UnexpectedMessage
from protocols.message import Message

TIDE = Cid.of(CODEC_RAW, b"tide")

cids = st.builds(Cid, st.sampled_from([CODEC_RAW, CODEC_DAG_PB]), st.binary(min_size=32, max_size=32))
stands = st.builds(
    Stand, cids, st.sampled_from(STATES), st.integers(0, 2**53 - 1), st.none() | st.just("it is larger than is left")
)


@given(st.builds(Pin, cids, st.none() | st.just("tides")))
def test_a_wish_is_read_as_it_was_meant(pin: Pin) -> None:
    assert Pin.from_body(pin.to_body()) == pin


@given(st.builds(About, st.lists(cids, max_size=limits.MAX_HOSTED_ASKED).map(tuple)))
def test_a_question_is_read_as_it_was_meant(about: About) -> None:
    assert About.from_body(about.to_body()) == about


@given(st.lists(stands, max_size=limits.MAX_HOSTED_ASKED))
def test_an_answer_is_read_as_it_was_meant(pins: list[Stand]) -> None:
    reply = pinning.status(pins, used_bytes=5, quota_bytes=7)
    message = Message(id="a", type=reply.type, body=reply.body, thid="q")
    assert pinning.read_status(message) == Status(tuple(pins), 5, 7)


@pytest.mark.parametrize("kind", ["pin", "unpin", "list"])
def test_each_question_has_one_answer(kind: str) -> None:
    question = Message(id="q", type=f"{pinning.URI}/{kind}")
    answer = Message(id="a", type=pinning.STATUS, thid="q")
    waiting = CLIENT.sent("idle", question.type)
    assert CLIENT.received(waiting, answer) == "answered"
    asked = HOST.received("idle", question)
    assert HOST.sent(asked, pinning.STATUS) == "done"
    with pytest.raises(UnexpectedMessage):
        CLIENT.received("answered", answer)
    refusal = pinning.refused(question)
    assert (refusal.type, refusal.pthid, HOST.sent(asked, refusal.type)) == (problem_report.PROBLEM, "q", "done")
    report = Message(id="r", type=refusal.type, body=refusal.body, pthid="q")
    assert CLIENT.received(waiting, report) == "refused"
    assert pinning.read_status(report) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cid": "nothing"},
        {"cid": 7},
        {"cid": "b" * 129},
        {"cid": str(TIDE), "name": ""},
        {"cid": str(TIDE), "name": "a\nb"},
        {"cid": str(TIDE), "name": "x" * (limits.MAX_PIN_NAME_CHARS + 1)},
    ],
)
def test_a_wish_that_cannot_be_meant_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage):
        Pin.from_body(body)


@pytest.mark.parametrize("cids", [None, "x", ["x"], [str(TIDE)] * (limits.MAX_HOSTED_ASKED + 1)])
def test_a_question_about_no_cids_or_too_many_is_refused(cids: object) -> None:
    with pytest.raises(MalformedMessage):
        About.from_body({"cids": cids})
    with pytest.raises(LocalProtocolError):
        About((TIDE,) * (limits.MAX_HOSTED_ASKED + 1)).to_body()


@pytest.mark.parametrize(
    "pin",
    [
        "x",
        {"cid": str(TIDE), "state": "lost", "size_bytes": 0},
        {"cid": str(TIDE), "state": "pinned", "size_bytes": -1},
        {"cid": str(TIDE), "state": "pinned"},
        {"state": "pinned", "size_bytes": 0},
        {"cid": str(TIDE), "state": "failed", "size_bytes": 0, "reason": "x" * 301},
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused(pin: object) -> None:
    message = Message(id="a", type=pinning.STATUS, body={"pins": [pin], "used_bytes": 0, "quota_bytes": 0})
    with pytest.raises(MalformedMessage):
        pinning.read_status(message)
