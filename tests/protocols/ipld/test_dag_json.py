import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from protocols import dag_cbor
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, TooDeep, TooLarge
from protocols.ipld import dag_json

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "ipld.json").read_text())
LEAF = Cid.of(CODEC_RAW, b"tide")

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.binary(max_size=12)
    | st.binary(max_size=4).map(lambda data: Cid.of(CODEC_RAW, data)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6).filter(lambda key: not key.startswith("/")), inner, max_size=4)
    ),
    max_leaves=20,
)


def decode(data: bytes, max_depth: int = 64) -> object:
    return dag_json.decode(data, max_bytes=100_000, max_depth=max_depth)


def as_dag_cbor(value: object) -> object:
    """A link as `protocols.dag_cbor` has it."""
    match value:
        case Cid():
            return bytes(value)
        case list():
            return [as_dag_cbor(item) for item in value]
        case dict():
            return {key: as_dag_cbor(item) for key, item in value.items()}
        case _:
            return value


@pytest.mark.parametrize("vector", VECTORS["dag_json"], ids=lambda vector: vector["name"])
def test_the_fixtures_of_the_specification(vector: dict[str, Any]) -> None:
    value = decode(vector["json"].encode())
    assert dag_json.encode(value) == vector["json"].encode()
    assert Cid.of(CODEC_DAG_CBOR, dag_cbor.encode(as_dag_cbor(value))) == Cid.parse(vector["dag_cbor_cid"])


@given(VALUES)
def test_a_value_comes_back(value: object) -> None:
    data = dag_json.encode(value)
    assert repr(decode(data)) == repr(_sorted(value))
    assert dag_json.encode(decode(data)) == data


def _sorted(value: object) -> object:
    match value:
        case list():
            return [_sorted(item) for item in value]
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case _:
            return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e+21"),
        (0.000001, "0.000001"),
        (1.5e-9, "1.5e-9"),
        ("\u0001\u2028/\x7f", '"\\u0001\u2028/\x7f"'),
        ({"b": 1, "aa": 2, "\U0001f600": 3, "\uffee": 4}, '{"aa":2,"b":1,"\uffee":4,"\U0001f600":3}'),
        (b"\xff\xfe", '{"/":{"bytes":"//4"}}'),
        (LEAF, f'{{"/":"{LEAF}"}}'),
        ({"/": 1, "a": 2}, '{"/":1,"a":2}'),
        ({"!": 1, "/": "a"}, '{"!":1,"/":"a"}'),
        ({"/": {"a": 1, "bytes": "AQ"}}, '{"/":{"a":1,"bytes":"AQ"}}'),
    ],
)
def test_how_it_is_written(value: object, text: str) -> None:
    assert dag_json.encode(value) == text.encode()
    assert decode(text.encode()) == value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**64,
        -(2**64) - 1,
        {1: 2},
        object(),
        "\udcff",
        {"/": "a"},
        {"/": "a", "b": 1},
        {"/": {"bytes": "AQ"}},
        {"/": {"bytes": "AQ", "c": 1}, "d": 1},
    ],
)
def test_what_has_no_encoding_is_refused(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        dag_json.encode(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tide",
        "[1,]",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "18446744073709551616",
        "9" * 5000,
        '"\\ud800"',
        '{"/":"tide"}',
        '{"/":"bafkqaaa"}',
        f'{{"/":"{LEAF}","a":1}}',
        '{"/":{"bytes":"AQ"},"a":1}',
        '{"/":{"bytes":"AQ","c":1}}',
        '{"/":{"bytes":"AQ=="}}',
        '{"/":{"bytes":"AR"}}',
        '{"/":{"bytes":"-_8"}}',
        '{"/":{"bytes":"A"}}',
        '{"a":1,"a":1}',
    ],
)
def test_what_is_not_dag_json_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(text.encode())


@pytest.mark.parametrize(
    "text", [" 1", "[1, 2]", '{"b":1,"a":2}', "1.00", "1E3", "-0", '"\\u0061"', '{"/":"Qm' + "1" * 44 + '"}']
)
def test_what_is_not_canonical_is_refused_but_its_links_are_read(text: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(text.encode())
    if "Qm" not in text:
        assert dag_json.links(text.encode(), max_depth=64) == []


def test_links_in_their_order() -> None:
    links = [Cid.of(CODEC_RAW, bytes([number])) for number in range(4)]
    value = {"z": links[3], "a": [links[0], {"b": links[1]}, b"\x01"], "c": links[2]}
    assert dag_json.links(dag_json.encode(value), max_depth=64) == links
    assert dag_json.links(json.dumps({"x": {"/": str(LEAF)}}, indent=2).encode(), max_depth=64) == [LEAF]


def test_depth_and_size_are_bounded_before_parsing() -> None:
    with pytest.raises(TooDeep):
        decode(b"[" * 65 + b"]" * 65)
    with pytest.raises(TooDeep):
        dag_json.links(b"[" * 100_000, max_depth=64)
    with pytest.raises(TooLarge):
        decode(b'"' + b"x" * 100_000 + b'"')
    assert decode(b"[" * 64 + b"]" * 64)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:/bytes0123456789eE+-. \\u', max_size=60).map(str.encode))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    for read in (decode, lambda data: dag_json.links(data, max_depth=64)):
        try:
            read(data)
        except RemoteProtocolError:
            continue
