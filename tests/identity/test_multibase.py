"""Multibase and varints against the specification's vectors, the `multiformats` package, and themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase as other_multibase
from multiformats import varint as other_varint

from identity import multibase
from identity.errors import MalformedMultibase

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "multiformats.json").read_text())
OTHER_NAMES = {"z": "base58btc", "b": "base32", "u": "base64url"}


@pytest.mark.parametrize("case", VECTORS["varint"]["cases"])
def test_varint_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert multibase.encode_varint(case["number"]) == data
    assert multibase.decode_varint(data) == (case["number"], len(data))


@pytest.mark.parametrize("text", VECTORS["multibase"]["cases"])
def test_multibase_vectors(text: str) -> None:
    data = VECTORS["multibase"]["text"].encode()
    assert multibase.encode(text[0], data) == text  # type: ignore[arg-type]
    assert multibase.decode(text) == data


@given(st.sampled_from(["z", "b", "u"]), st.binary(max_size=80))
def test_multibase_agrees_with_multiformats(base: Any, data: bytes) -> None:
    text = multibase.encode(base, data)
    assert text == other_multibase.encode(data, OTHER_NAMES[base])
    assert multibase.decode(text) == data


@given(st.integers(0, 2**63 - 1), st.binary(max_size=5), st.binary(max_size=5))
def test_varint_agrees_with_multiformats_at_any_offset(number: int, before: bytes, after: bytes) -> None:
    data = multibase.encode_varint(number)
    assert data == other_varint.encode(number)
    assert multibase.decode_varint(before + data + after, len(before)) == (number, len(before) + len(data))


@pytest.mark.parametrize("hex_text", ["", "80", "8000", "ff00", "80" * 9 + "01", "ff" * 10])
def test_varints_that_are_cut_short_or_not_minimal_are_refused(hex_text: str) -> None:
    with pytest.raises(MalformedMultibase):
        multibase.decode_varint(bytes.fromhex(hex_text))


@pytest.mark.parametrize(
    "text", ["", "x00", "z0OIl", "bABC", "b1", "u+/", "uA", "uAA==", "z\u00e9", "b\u00e9", "u\u00e9", "Zab"]
)
def test_text_that_is_not_multibase_is_refused(text: str) -> None:
    with pytest.raises(MalformedMultibase):
        multibase.decode(text)


@given(st.text(max_size=60))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    for candidate in (text, "z" + text, "b" + text, "u" + text):
        try:
            data = multibase.decode(candidate)
        except MalformedMultibase:
            continue
        assert multibase.decode(multibase.encode(candidate[0], data)) == data  # type: ignore[arg-type]


@given(st.binary(max_size=60))
def test_base64url_round_trip(data: bytes) -> None:
    text = multibase.base64url(data)
    assert "=" not in text
    assert multibase.from_base64url(text) == data
