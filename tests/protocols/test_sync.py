"""Catch-up messages: round trip, every bound, and hostile bytes."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import dag_cbor, limits
from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.sync import SyncRequest, SyncResponse

SIGNED = st.binary(max_size=30).map(lambda data: b"{" + data)


@given(st.integers(0, 2**53 - 1), st.integers(1, limits.MAX_SYNC_MESSAGES))
def test_request_round_trip(after: int, limit: int) -> None:
    request = SyncRequest(after, limit)
    assert SyncRequest.decode(request.encode()) == request


@given(st.lists(SIGNED, max_size=20), st.integers(0, 2**53 - 1), st.booleans())
def test_response_round_trip(messages: list[bytes], cursor: int, more: bool) -> None:
    response = SyncResponse(tuple(messages), cursor, more)
    assert SyncResponse.decode(response.encode()) == response


def test_the_form_on_the_wire() -> None:
    assert cbor2.loads(SyncRequest(5, 10).encode()) == {"after": 5, "limit": 10}
    response = SyncResponse((b'{"payload":""}',), 7, True)
    assert cbor2.loads(response.encode()) == {"messages": [b'{"payload":""}'], "next": 7, "more": True}


@pytest.mark.parametrize(
    "request_", [SyncRequest(-1, 1), SyncRequest(0, 0), SyncRequest(0, 513), SyncRequest(2**53, 1)]
)
def test_requests_out_of_bounds(request_: SyncRequest) -> None:
    with pytest.raises(LocalProtocolError):
        request_.encode()
    with pytest.raises(RemoteProtocolError):
        SyncRequest.decode(dag_cbor.encode({"after": request_.after, "limit": request_.limit}))


@pytest.mark.parametrize(
    "response",
    [
        SyncResponse((b"",), 0, False),
        SyncResponse((b"not JSON",), 0, False),
        SyncResponse((b"\x01\x71\x12\x20" + bytes(32),), 0, False),
        SyncResponse((b"{" * (limits.MAX_GOSSIP_BYTES + 1),), 0, False),
        SyncResponse((b"{}",) * (limits.MAX_SYNC_MESSAGES + 1), 0, False),
        SyncResponse((b"{" * limits.MAX_GOSSIP_BYTES,) * 64, 0, False),
        SyncResponse((), -1, False),
    ],
    ids=["empty", "text", "link", "one too large", "too many", "too large together", "cursor"],
)
def test_responses_out_of_bounds(response: SyncResponse) -> None:
    with pytest.raises(LocalProtocolError):
        response.encode()
    data = dag_cbor.encode({"messages": list(response.messages), "next": response.next, "more": response.more})
    with pytest.raises(RemoteProtocolError):
        SyncResponse.decode(data)


def test_a_response_takes_as_many_rows_as_fit() -> None:
    large = b"{" * limits.MAX_GOSSIP_BYTES
    rows = [(10 * number, large) for number in range(1, 81)]
    response = SyncResponse.of_rows(rows, after=0, more=False)
    assert (len(response.messages), response.next, response.more) == (63, 630, True)
    assert SyncResponse.decode(response.encode()) == response

    small = [(number, b"{}") for number in range(1, 600)]
    response = SyncResponse.of_rows(small, after=0, more=False)
    assert (len(response.messages), response.next, response.more) == (512, 512, True)
    assert SyncResponse.decode(response.encode()) == response


def test_a_response_says_when_there_is_no_more() -> None:
    assert SyncResponse.of_rows([], after=9, more=False) == SyncResponse((), 9, False)
    assert SyncResponse.of_rows([(12, b"{}")], after=9, more=False) == SyncResponse((b"{}",), 12, False)
    assert SyncResponse.of_rows([(12, b"{}")], after=9, more=True) == SyncResponse((b"{}",), 12, True)


@pytest.mark.parametrize("value", [None, [], {}, {"after": 0}, {"limit": 1}, {"after": True, "limit": 1}])
def test_requests_of_another_shape(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        SyncRequest.decode(dag_cbor.encode(value))


@pytest.mark.parametrize(
    "change", [{"messages": None}, {"messages": [1]}, {"messages": ["{}"]}, {"next": None}, {"next": 1.0}, {"more": 1}]
)
def test_responses_of_another_shape(change: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        SyncResponse.decode(dag_cbor.encode({"messages": [], "next": 0, "more": False} | change))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in (SyncRequest, SyncResponse):
        try:
            read = kind.decode(data)
        except RemoteProtocolError:
            continue
        assert kind.decode(read.encode()) == read


def test_ten_thousand_nested_lists() -> None:
    for kind in (SyncRequest, SyncResponse):
        with pytest.raises(RemoteProtocolError):
            kind.decode(b"\x81" * 10_000 + b"\x80")
