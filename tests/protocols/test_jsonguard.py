import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MalformedMessage, RemoteProtocolError, TooDeep, TooLarge
from protocols.jsonguard import parse_json

DEPTH = 64
BYTES = 1024 * 1024

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=40,
)


def parse(data: bytes, *, max_bytes: int = BYTES, max_depth: int = DEPTH) -> object:
    return parse_json(data, max_bytes=max_bytes, max_depth=max_depth)


def depth_of(value: object) -> int:
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(json_values)
def test_json_comes_back(value: object) -> None:
    assert parse(json.dumps(value).encode(), max_depth=100) == value


@given(json_values, st.integers(0, 6))
def test_exactly_what_is_deeper_is_refused(value: object, max_depth: int) -> None:
    data = json.dumps(value).encode()
    if depth_of(value) > max_depth:
        with pytest.raises(TooDeep):
            parse(data, max_depth=max_depth)
    else:
        assert parse(data, max_depth=max_depth) == value


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_ten_thousand_nested_values_are_refused(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    with pytest.raises(TooDeep):
        parse(opening * 10_000 + b"1" + closing * 10_000)
    with pytest.raises(TooDeep):
        parse(opening * 10_000)


def test_brackets_in_strings_do_not_count() -> None:
    text = '[{"' * 200 + "\\" + '"]}'
    assert parse(json.dumps([text, text]).encode(), max_depth=1) == [text, text]


def test_siblings_do_not_count() -> None:
    assert parse(b"[" + b"[]," * 1000 + b"{}]", max_depth=2) == [[]] * 1000 + [{}]


def test_a_string_without_end_is_scanned_once() -> None:
    # Escaped quotes without end: a scan that starts again at each of them would take minutes.
    with pytest.raises(MalformedMessage):
        parse(b"[" * 65 + b'"' + b'\\"' * 400_000, max_depth=DEPTH + 1)


def test_size_is_bounded() -> None:
    assert parse(b"[1]", max_bytes=3) == [1]
    with pytest.raises(TooLarge):
        parse(b"[1] ", max_bytes=3)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nan", b"NaN", b"\xff", b'"\\ud800"', b"[1]]", b"{'a':1}", b"\xef\xbb\xbf1"]
)
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse(data)


@given(st.binary(max_size=200) | st.text('[]{}":,\\1 ', max_size=200).map(str.encode), st.integers(0, 8))
def test_any_bytes_give_a_value_or_a_remote_error(data: bytes, max_depth: int) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert depth_of(parse(data, max_depth=max_depth)) <= max_depth
