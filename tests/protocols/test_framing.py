import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MalformedMessage, RemoteProtocolError, TooLarge
from protocols.framing import FrameDecoder, encode_frame


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 64), min_size=1, max_size=8))
def test_frames_come_back_however_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(encode_frame, payloads))
    decoder = FrameDecoder(300)
    received: list[bytes] = []
    position = index = 0
    while position < len(stream):
        size = cuts[index % len(cuts)]
        received += decoder.feed(stream[position : position + size])
        position, index = position + size, index + 1
    assert received == payloads
    assert not decoder.pending


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_stream_cut_short_is_pending(payload: bytes, data: st.DataObject) -> None:
    frame = encode_frame(payload)
    decoder = FrameDecoder(300)
    assert decoder.feed(frame[: data.draw(st.integers(1, len(frame) - 1))]) == []
    assert decoder.pending


def test_a_frame_may_have_exactly_the_bound() -> None:
    assert FrameDecoder(200).feed(encode_frame(bytes(200))) == [bytes(200)]


def test_a_length_over_the_bound_is_refused_before_the_bytes_come() -> None:
    with pytest.raises(TooLarge):
        FrameDecoder(200).feed(encode_frame(bytes(201))[:2])


@pytest.mark.parametrize("prefix", [b"\x80\x00", b"\xff" * 5, b"\x80" * 9])
def test_a_wrong_length_is_refused(prefix: bytes) -> None:
    with pytest.raises(MalformedMessage):
        FrameDecoder(200).feed(prefix)


def test_an_endless_length_is_refused_byte_by_byte() -> None:
    decoder = FrameDecoder(200)
    for _ in range(4):
        assert decoder.feed(b"\xff") == []
    with pytest.raises(MalformedMessage):
        decoder.feed(b"\xff")


def test_a_broken_stream_stays_broken() -> None:
    decoder = FrameDecoder(10)
    with pytest.raises(TooLarge):
        decoder.feed(b"\x0b")
    with pytest.raises(MalformedMessage):
        decoder.feed(encode_frame(b"good"))


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_give_frames_or_a_remote_error(chunks: list[bytes]) -> None:
    decoder = FrameDecoder(64)
    try:
        for chunk in chunks:
            assert all(len(payload) <= 64 for payload in decoder.feed(chunk))
    except RemoteProtocolError:
        pass
