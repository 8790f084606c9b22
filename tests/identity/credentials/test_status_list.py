"""Bitstring Status List: bits in their order, and lists that lie about their size."""

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.credentials import bounds
from identity.credentials.errors import MalformedCredential, StatusIndexOutOfRange, StatusListMalformed
from identity.credentials.status_list import (
    StatusEntry,
    build_list,
    decode,
    encode,
    read_entry,
    read_list,
    ttl_of,
    value_at,
)
from identity.did import Did
from identity.multibase import base64url
from tests.identity.credentials.support import ISSUER_DID, NOW_S

URL = "https://example.com/status/1"


@given(st.sets(st.integers(0, bounds.MIN_STATUS_BITS - 1), max_size=20))
def test_the_bits_that_are_set_are_set(indexes: set[int]) -> None:
    bits = decode(encode(indexes))
    assert len(bits) * 8 == bounds.MIN_STATUS_BITS
    assert {index for index in {*indexes, 0, 1, 7, 8} if value_at(bits, index)} == indexes
    assert bits.count(0) >= len(bits) - len(indexes)


def test_the_first_entry_is_the_leftmost_bit() -> None:
    assert decode(encode([0]))[0] == 0x80
    assert decode(encode([7, 8]))[:2] == b"\x01\x80"
    # Bitstring Status List 1.0, section 3.2: an empty list of 131,072 bits, as its example 2 encodes it.
    example = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
    assert decode(example) == bytes(16_384)


@given(st.integers(1, 8), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_entries_of_several_bits(size: int, index: int, random: Any) -> None:
    bits = random.randbytes(1024)
    text = "".join(f"{byte:08b}" for byte in bits)
    assert value_at(bits, index, size) == int(text[index * size : (index + 1) * size], 2)


def test_a_place_outside_of_the_list_is_refused() -> None:
    bits = decode(encode([]))
    for index, size in ((bounds.MIN_STATUS_BITS, 1), (-1, 1), (bounds.MIN_STATUS_BITS // 8, 8)):
        with pytest.raises(StatusIndexOutOfRange):
            value_at(bits, index, size)


def packed(data: bytes) -> str:
    return "u" + base64url(data)


@pytest.mark.parametrize(
    "encoded",
    [
        packed(gzip.compress(bytes(50_000_000))),
        packed(gzip.compress(bytes(bounds.MAX_STATUS_BITS // 8 + 1))),
        packed(gzip.compress(bytes(16_383))),
        packed(gzip.compress(bytes(16_384))[:-4]),
        packed(gzip.compress(bytes(16_384)) + b"more"),
        packed(zlib.compress(bytes(16_384))),
        packed(b"no gzip"),
        packed(b""),
        "z" + base64url(gzip.compress(bytes(16_384))),
        "u====",
        "u" + "A" * (bounds.MAX_CREDENTIAL_BYTES + 1),
        5,
        None,
    ],
    ids=lambda value: str(value)[:12],
)
def test_bombs_and_lists_that_are_none_are_refused(encoded: Any) -> None:
    with pytest.raises(StatusListMalformed):
        decode(encoded)


def test_the_longest_list_is_read() -> None:
    assert len(decode(encode([5], length=bounds.MAX_STATUS_BITS))) * 8 == bounds.MAX_STATUS_BITS


def test_an_entry_is_read_back() -> None:
    entry = StatusEntry("revocation", 94_567, URL)
    assert read_entry(entry.to_json()) == entry
    assert entry.to_json()["statusListIndex"] == "94567"


def test_messages() -> None:
    entry = read_entry(
        {
            **StatusEntry("message", 3, URL).to_json(),
            "statusSize": 2,
            "statusMessage": [{"status": "0x0", "message": "pending"}, {"status": "0x2", "message": "rejected"}],
        }
    )
    assert (entry.size, entry.messages) == (2, {0: "pending", 2: "rejected"})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "StatusList2021Entry"},
        {"statusListIndex": 5},
        {"statusListIndex": "-1"},
        {"statusListIndex": "٣"},
        {"statusListIndex": "1" * 10},
        {"statusListIndex": None},
        {"statusSize": 0},
        {"statusSize": 9},
        {"statusSize": True},
        {"statusPurpose": None},
        {"statusListCredential": 5},
        {"statusMessage": [{"status": "zz", "message": "x"}]},
        {"statusMessage": ["x"]},
        {"statusMessage": [{"status": "0x0", "message": "x"}] * 257},
    ],
)
def test_entries_that_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedCredential):
        read_entry({**StatusEntry("revocation", 1, URL).to_json(), **change})


def a_list(indexes: tuple[int, ...] = ()) -> dict[str, Any]:
    return build_list(
        issuer=Did(ISSUER_DID),
        list_url=URL,
        purpose="revocation",
        set_indexes=indexes,
        now_s=NOW_S,
        valid_for_s=3600,
        ttl_s=300,
    )


def test_a_list_is_read_for_its_purpose() -> None:
    assert value_at(read_list(a_list((5,)), "revocation"), 5) == 1
    for document, purpose in (
        (a_list(), "suspension"),
        ({**a_list(), "type": ["VerifiableCredential"]}, "revocation"),
        ({**a_list(), "credentialSubject": []}, "revocation"),
    ):
        with pytest.raises(StatusListMalformed):
            read_list(document, purpose)


def test_how_long_a_list_may_be_kept() -> None:
    assert ttl_of(a_list()) == 300
    for ttl in (None, -1, True, "300"):
        assert ttl_of({"credentialSubject": {"ttl": ttl}}) is None
    assert ttl_of({}) is None
