"""Streams of events: the same events however the bytes are cut, and bounds on what is too much."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.providers.errors import ProviderFailed
from node.inference.providers.sse import EventReader
from protocols.limits import MAX_PROVIDER_EVENT_BYTES, MAX_PROVIDER_REPLY_BYTES

LINES = st.binary(max_size=12).map(lambda text: text.replace(b"\r", b"").replace(b"\n", b""))


def events(*pieces: bytes) -> list[bytes]:
    reader = EventReader()
    return [data for piece in pieces for data in reader.feed(piece)]


@given(
    datas=st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    noise=st.sampled_from([b"", b": a comment", b"event: ping", b"id: 7", b"datax: no", b"retry: 9"]),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_the_events_are_the_same_however_the_bytes_are_cut(
    datas: list[list[bytes]], end: bytes, noise: bytes, cuts: list[int]
) -> None:
    # A stream ends with a whole line: a lone carriage return at its end could be the half of one.
    stream = b"".join(
        b"".join([*(b"data: " + line + end for line in lines), noise + end if noise else b"", end]) for lines in datas
    )
    stream += b": end\n"
    at = sorted({0, *(min(cut, len(stream)) for cut in cuts), len(stream)})
    cut_up = events(*(stream[low:high] for low, high in pairwise(at)))
    assert cut_up == [b"\n".join(lines) for lines in datas]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_read_without_an_error(pieces: list[bytes]) -> None:
    assert events(b"".join(pieces)) == events(*pieces)


def test_details_of_the_format() -> None:
    assert events(b"\xef\xbb\xbfdata: a\n\n") == [b"a"]
    assert events(b"data:a\n\n", b"data:  b\n\n") == [b"a", b" b"]
    assert events(b"data\n\n") == [b""]
    assert events(b": nothing\n\n\n\n") == []
    assert events(b"data: not ended\n") == []


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * (MAX_PROVIDER_EVENT_BYTES + 1)],
        [b"data: x\n"] * (MAX_PROVIDER_EVENT_BYTES // 2 + 1),
        [b": " + b"x" * 65_000 + b"\n"] * (MAX_PROVIDER_REPLY_BYTES // 65_000 + 1),
    ],
    ids=["a line", "lines of one event", "comments"],
)
def test_too_much_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(ProviderFailed, match="more than"):
        events(b"".join(pieces[:2]), *pieces[2:])
