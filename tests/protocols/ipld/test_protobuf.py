import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MalformedMessage
from protocols.ipld.protobuf import bytes_field, fields, varint_field

NUMBERS = st.integers(0, 2**63 - 1)


@given(st.lists(st.tuples(st.integers(1, 15), NUMBERS | st.binary(max_size=200)), max_size=8))
def test_fields_come_back(written: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(
        varint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
        for number, value in written
    )
    assert list(fields(data)) == written


def test_fields_of_a_fixed_length_are_bytes() -> None:
    assert list(fields(b"\x15abcd\x11abcdefgh")) == [(2, b"abcd"), (2, b"abcdefgh")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x0a", id="no length"),
        pytest.param(b"\x0a\x02a", id="cut short"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\x7fa", id="longer than anything"),
        pytest.param(b"\x15abc", id="a fixed field cut short"),
        pytest.param(b"\x0b", id="a group"),
        pytest.param(b"\x0f", id="a wire type that is not used"),
        pytest.param(b"\x08\x80\x00", id="a number not in its shortest form"),
        pytest.param(b"\x08" + b"\xff" * 9 + b"\x01", id="a number of 64 bits"),
        pytest.param(b"\x80", id="half a key"),
    ],
)
def test_what_is_no_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        list(fields(data))


@given(st.binary(max_size=100))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        list(fields(data))
    except MalformedMessage:
        return
