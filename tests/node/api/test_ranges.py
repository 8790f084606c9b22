import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.api.ranges import one_range
from node.content.errors import RangeUnsatisfiable


@given(st.text() | st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True), st.integers(0, 500))
def test_a_range_lies_within_the_body_or_is_refused(header: str, size_bytes: int) -> None:
    try:
        asked = one_range(header, size_bytes)
    except RangeUnsatisfiable:
        return
    assert asked is None or 0 <= asked.start < asked.stop <= size_bytes


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, None),
        ("bytes=0-0", range(1)),
        ("bytes=5-", range(5, 10)),
        ("bytes= 5 - 7", range(5, 8)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(10)),
        ("bytes=3-999999", range(3, 10)),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("items=1-2", None),
    ],
)
def test_what_is_asked_for(header: str | None, asked: range | None) -> None:
    assert one_range(header, 10) == asked


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_behind_the_end(header: str) -> None:
    with pytest.raises(RangeUnsatisfiable):
        one_range(header, 10)
