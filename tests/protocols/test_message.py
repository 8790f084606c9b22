import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did
from protocols.errors import (
    ClockSkew,
    Expired,
    LocalProtocolError,
    MalformedMessage,
    MessageTooLarge,
    RemoteProtocolError,
    TooLarge,
)
from protocols.limits import (
    CLOCK_SKEW_S,
    MAX_ACKS,
    MAX_FROM_PRIOR_CHARS,
    MAX_ID_CHARS,
    MAX_PLAINTEXT_BYTES,
    MAX_RECIPIENTS,
    REPLAY_WINDOW_S,
)
from protocols.message import Attachment, Message, check_times, parse_message

ALICE, BOB = Did("did:example:alice"), Did("did:example:bob")
TYPE = "https://didcomm.org/trust-ping/2.0/ping"
NOW = 1_700_000_000

ids = st.text(min_size=1, max_size=MAX_ID_CHARS)
times = st.none() | st.integers(0, 2**53)
messages = st.builds(
    Message,
    id=ids,
    type=ids,
    body=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), max_size=4),
    from_=st.none() | st.just(ALICE),
    to=st.just(()) | st.just((BOB,)) | st.just((BOB, ALICE)),
    thid=st.none() | ids,
    pthid=st.none() | ids,
    created_time=times,
    expires_time=times,
    attachments=st.just(()) | st.tuples(st.builds(Attachment.of_base64, st.binary(max_size=20))),
    please_ack=st.just(()) | st.just(("",)) | st.tuples(ids),
    ack=st.just(()) | st.tuples(ids),
    return_route=st.sampled_from([None, "none", "all", "thread"]),
    from_prior=st.none() | ids,
)


@given(messages)
def test_a_message_comes_back(message: Message) -> None:
    assert parse_message(message.to_bytes()) == message


def test_the_json_is_that_of_the_specification() -> None:
    message = Message(
        id="1",
        type=TYPE,
        body={"a": 1},
        from_=ALICE,
        to=(BOB,),
        thid="2",
        pthid="3",
        created_time=4,
        attachments=(Attachment(data={"json": {}}, id="a"),),
        please_ack=("",),
        ack=("0",),
        return_route="all",
        from_prior="x.y.z",
    )
    assert json.loads(message.to_bytes()) == {
        "id": "1",
        "typ": "application/didcomm-plain+json",
        "type": TYPE,
        "body": {"a": 1},
        "from": ALICE,
        "to": [BOB],
        "thid": "2",
        "pthid": "3",
        "created_time": 4,
        "attachments": [{"id": "a", "data": {"json": {}}}],
        "please_ack": [""],
        "ack": ["0"],
        "return_route": "all",
        "from_prior": "x.y.z",
    }


def test_what_is_not_set_is_not_written() -> None:
    assert set(json.loads(Message(id="1", type=TYPE).to_bytes())) == {"id", "typ", "type", "body"}


def test_a_thread_begins_with_its_first_message() -> None:
    assert Message(id="1", type=TYPE).thread == "1"
    assert Message(id="2", type=TYPE, thid="1").thread == "1"


@pytest.mark.parametrize("typ", [{}, {"typ": "didcomm-plain+json"}, {"typ": "application/didcomm-plain+json"}])
def test_tolerated_forms(typ: dict[str, str]) -> None:
    headers = {"id": "1", "type": TYPE, "x-unknown": [""], "thid": None, **typ}
    assert parse_message(json.dumps(headers).encode()) == Message(id="1", type=TYPE)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"id": "x" * (MAX_ID_CHARS + 1)},
        {"type": None},
        {"type": "x" * 1000},
        {"typ": "application/didcomm-signed+json"},
        {"typ": ["application/didcomm-plain+json"]},
        {"body": []},
        {"body": "text"},
        {"body": None},
        {"from": "alice"},
        {"from": "did:example:alice#key-1"},
        {"from": 1},
        {"to": BOB},
        {"to": ["bob"]},
        {"to": [None]},
        {"to": [BOB] * (MAX_RECIPIENTS + 1)},
        {"thid": ""},
        {"thid": 1},
        {"pthid": {}},
        {"created_time": -1},
        {"created_time": True},
        {"created_time": 1.5},
        {"created_time": "1"},
        {"expires_time": 2**60},
        {"please_ack": "1"},
        {"please_ack": [1]},
        {"please_ack": ["x" * (MAX_ID_CHARS + 1)]},
        {"please_ack": [""] * (MAX_ACKS + 1)},
        {"ack": [""]},
        {"ack": {}},
        {"ack": ["1"] * (MAX_ACKS + 1)},
        {"return_route": "some"},
        {"return_route": ["all"]},
        {"from_prior": ""},
        {"from_prior": {}},
        {"from_prior": "x" * (MAX_FROM_PRIOR_CHARS + 1)},
        {"attachments": {}},
    ],
)
def test_wrong_headers_are_refused(change: dict[str, Any]) -> None:
    headers: dict[str, Any] = {"id": "1", "type": TYPE, "body": {}}
    assert parse_message(json.dumps(headers).encode())
    with pytest.raises(MalformedMessage):
        parse_message(json.dumps(headers | change).encode())


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b"", b"{"])
def test_a_message_is_an_object(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_message(data)


def test_a_body_that_is_not_json_is_our_fault() -> None:
    with pytest.raises(LocalProtocolError):
        Message(id="1", type=TYPE, body={"a": object()}).to_bytes()


def test_size_is_bounded_both_ways() -> None:
    body = {"text": "x" * MAX_PLAINTEXT_BYTES}
    with pytest.raises(MessageTooLarge):
        Message(id="1", type=TYPE, body=body).to_bytes()
    with pytest.raises(TooLarge):
        parse_message(json.dumps({"id": "1", "type": TYPE, "body": body}).encode())


def test_times_within_their_bounds_pass() -> None:
    message = Message(id="1", type=TYPE)
    check_times(message, NOW)
    check_times(replace(message, created_time=NOW + CLOCK_SKEW_S, expires_time=NOW + 1), NOW)
    check_times(replace(message, created_time=NOW - REPLAY_WINDOW_S), NOW)


def test_times_out_of_their_bounds_are_refused() -> None:
    message = Message(id="1", type=TYPE)
    with pytest.raises(ClockSkew):
        check_times(replace(message, created_time=NOW + CLOCK_SKEW_S + 1), NOW)
    with pytest.raises(Expired):
        check_times(replace(message, created_time=NOW - REPLAY_WINDOW_S - 1), NOW)
    with pytest.raises(Expired):
        check_times(replace(message, expires_time=NOW), NOW)


@given(
    st.binary(max_size=100)
    | st.dictionaries(
        st.sampled_from(
            ["id", "type", "typ", "body", "from", "to", "thid", "created_time", "attachments", "ack", "return_route"]
        ),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_give_a_message_or_a_remote_error(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(parse_message(data), Message)
