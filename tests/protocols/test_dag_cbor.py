"""The strict dag-cbor codec against RFC 8949's encodings, a second codec, and hostile bytes."""

import io
import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import dag_cbor, limits
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, TooDeep, TooLarge

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "dag_cbor.json").read_text())

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.binary(max_size=8).map(lambda data: b"{" + data)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def decode(data: bytes, max_depth: int = 64) -> object:
    return dag_cbor.decode(data, max_bytes=100_000, max_depth=max_depth)


@pytest.mark.parametrize("case", VECTORS["canonical"], ids=lambda case: case["hex"][:16])
def test_canonical_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert decode(data) == case["value"]
    assert dag_cbor.encode(case["value"]) == data


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_everything_else_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(MalformedMessage):
        decode(bytes.fromhex(case["hex"]))


@given(VALUES)
def test_round_trip(value: object) -> None:
    data = dag_cbor.encode(value)
    again = decode(data)
    assert again == value
    assert dag_cbor.encode(again) == data


@given(VALUES)
def test_a_second_codec_reads_the_same(value: object) -> None:
    assert cbor2.loads(dag_cbor.encode(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except RemoteProtocolError:
        return
    assert dag_cbor.encode(value) == data


@given(VALUES, st.data())
def test_a_changed_byte_is_another_value_or_refused(value: object, data: st.DataObject) -> None:
    encoded = bytearray(dag_cbor.encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(encoded))
    except RemoteProtocolError:
        return
    assert dag_cbor.encode(other) == bytes(encoded) != dag_cbor.encode(value)


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61a", b"\xd8\x2a", b"\xa1\x61a\x81"])
def test_deep_nesting_never_reaches_a_parser(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(head * 20_000 + b"\x80")


def test_the_bound_of_the_depth_is_exact() -> None:
    assert decode(b"\x81" * 8 + b"\x01", max_depth=8) == [[[[[[[[1]]]]]]]]
    with pytest.raises(TooDeep):
        decode(b"\x81" * 9 + b"\x01", max_depth=8)
    assert decode(b"\x82\x81\x01\x81\x01", max_depth=2) == [[1], [1]]


def test_too_many_bytes_and_too_many_items() -> None:
    assert dag_cbor.decode(b"\x42ab", max_bytes=3, max_depth=0) == b"ab"
    with pytest.raises(TooLarge):
        dag_cbor.decode(b"\x42ab", max_bytes=2, max_depth=0)
    many = limits.MAX_CBOR_ITEMS
    with pytest.raises(TooLarge):
        decode(cbor2.dumps([0] * many))
    assert decode(cbor2.dumps([0] * (many - 1))) == [0] * (many - 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, "\ud800", 2**64, object(), (1, 2)])
def test_values_without_an_encoding(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        dag_cbor.encode(value)


def test_a_value_that_holds_itself() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(LocalProtocolError):
        dag_cbor.encode(value)


def test_a_link_is_the_bytes_of_its_cid_with_tag_42() -> None:
    cid = b"\x01\x71\x12\x20" + bytes(32)
    tagged = io.BytesIO()
    cbor2.dump(cbor2.CBORTag(42, b"\x00" + cid), tagged)
    assert dag_cbor.encode(cid) == tagged.getvalue()
    assert decode(tagged.getvalue()) == cid
    with pytest.raises(MalformedMessage):
        decode(cbor2.dumps(cid))  # a byte string that looks like a CID, and is no link
