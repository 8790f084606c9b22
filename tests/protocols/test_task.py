"""Questions and answers: round trip, every bound, and hostile bodies."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.task import Answer, Ask, Source

ANSWER = Answer(
    answer="Water them at dawn.\nNot at noon.",
    sources=(Source("018f", "Roses want water at dawn.", 0.83), Source("0190", "", -1.0)),
    confidence=0.75,
    model="smollm2-135m",
    degraded=False,
)


def test_round_trip_at_the_bounds() -> None:
    largest = Answer("a" * 65536, tuple(Source(str(i), "t" * 2048, 1.0) for i in range(16)), 1.0, "m" * 128, True)
    for answer in (ANSWER, largest, Answer("", (), 0.0, "none", True)):
        assert Answer.from_body(answer.to_body()) == answer
    for ask in (Ask("?"), Ask("ä" * 8192)):
        assert Ask.from_body(ask.to_body()) == ask


def test_the_form_on_the_wire() -> None:
    assert Ask("When?").to_body() == {"question": "When?"}
    assert ANSWER.to_body() == {
        "answer": "Water them at dawn.\nNot at noon.",
        "sources": [
            {"memory_id": "018f", "text": "Roses want water at dawn.", "score": 0.83},
            {"memory_id": "0190", "text": "", "score": -1.0},
        ],
        "confidence": 0.75,
        "model": "smollm2-135m",
        "degraded": False,
    }


def test_what_people_files_and_models_wrote_is_made_fit_to_send() -> None:
    assert Ask("one\r\ntwo\x00").to_body() == {"question": "one\ntwo"}
    answer = replace(ANSWER, answer="a\x1b[0m", sources=(Source("1", "ä" * 2000 + "\r", 1.0000001),))
    read = Answer.from_body(answer.to_body())
    assert read.answer == "a[0m"
    assert read.sources == (Source("1", "ä" * 1024, 1.0),)


@pytest.mark.parametrize("question", ["", "q" * 16385, "\x00"])
def test_a_question_that_cannot_be_sent(question: str) -> None:
    with pytest.raises(LocalProtocolError):
        Ask(question).to_body()
    with pytest.raises(MalformedMessage):
        Ask.from_body({"question": question})


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "a" * 65537},
        {"sources": tuple(Source(str(i), "", 0.0) for i in range(17))},
        {"sources": (Source("", "", 0.0),)},
        {"sources": (Source("i" * 129, "", 0.0),)},
        {"confidence": 1.01},
        {"confidence": -0.01},
        {"confidence": float("nan")},
        {"model": ""},
        {"model": "m" * 129},
        {"model": "two\nlines"},
    ],
)
def test_an_answer_out_of_bounds_cannot_be_sent(change: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        replace(ANSWER, **change).to_body()


@pytest.mark.parametrize(
    "change",
    [
        {"answer": None},
        {"answer": "a\x07"},
        {"sources": None},
        {"sources": ["text"]},
        {"sources": [{}]},
        {"sources": [{"memory_id": "1", "text": "t" * 2049, "score": 0.5}]},
        {"sources": [{"memory_id": "1", "text": "t", "score": 1.5}]},
        {"sources": [{"memory_id": "1", "text": "t", "score": True}]},
        {"confidence": "high"},
        {"model": 7},
        {"degraded": 0},
        {"degraded": None},
    ],
)
def test_a_hostile_answer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        Answer.from_body(ANSWER.to_body() | change)


VALUES: st.SearchStrategy[object] = (
    st.none() | st.floats() | st.text(max_size=5) | st.just([]) | st.just([{"memory_id": "1", "text": "", "score": 0}])
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ANSWER.to_body(), VALUES) | {"question": VALUES, "x": VALUES}))
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    for kind in (Ask, Answer):
        try:
            read = kind.from_body(body)
        except RemoteProtocolError:
            continue
        assert kind.from_body(read.to_body()) == read
