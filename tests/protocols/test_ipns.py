"""IPNS names and records. What Kubo makes of ours, and we of Kubo's: tests/interop/test_ipns_kubo.py."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import did_key, peer_id
from identity.keys import KeyPair
from protocols import dag_cbor, ipns, limits
from protocols.errors import (
    Expired,
    ForgedSignature,
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    TooLarge,
    UnusableIpnsName,
)
from protocols.ipld.protobuf import bytes_field, fields, varint_field

KEYS = KeyPair(bytes(range(32)))
OTHER = KeyPair(bytes(32))
NAME = ipns.IpnsName(KEYS.public)
NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000
PATH = "/ipfs/bafkqaaa"

BASE36 = "k51qzi5uqu5dg9ufswxt229ntzdy7p4125xzv5rtyjso89ajdujg6csfxcj260"
BASE32 = "bafzaajaiaejcaa5ba677htqqxyoxbxiy45f4bglh4tldbg5fbvpr3xegmqjfkmny"
"""The name of KEYS as `ipfs cid format` of Kubo v0.43 writes it in both bases."""


def make(
    sequence: int = 1, *, keys: KeyPair = KEYS, path: str = PATH, until_ms: int = NOW_MS + HOUR_MS, ttl_s: int = 60
) -> bytes:
    return ipns.create_record(keys.sign, value=path, sequence=sequence, valid_until_ms=until_ms, ttl_s=ttl_s)


def check(raw: bytes, *, name: ipns.IpnsName = NAME, now_ms: int = NOW_MS) -> ipns.IpnsRecord:
    return ipns.verify_record(name, raw, now_ms=now_ms)


def rebuilt(raw: bytes, change: Callable[[dict[int, Any]], object]) -> bytes:
    """The record with some of its fields changed."""
    found: dict[int, Any] = dict(fields(raw))
    change(found)
    return b"".join(
        varint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
        for number, value in found.items()
    )


def signed_data(body: object, keys: KeyPair = KEYS) -> bytes:
    """A record of version 2 alone around any data."""
    data = dag_cbor.encode(body)
    return bytes_field(8, keys.sign(b"ipns-signature:" + data)) + bytes_field(9, data)


def body(**changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "Value": PATH.encode(),
        "Validity": b"2026-12-20T10:00:00.123456789Z",
        "ValidityType": 0,
        "Sequence": 3,
        "TTL": 60 * 10**9,
    }
    plain.update(changes)
    return {name: value for name, value in plain.items() if value is not None}


def test_a_name_in_all_its_forms_is_one_name() -> None:
    assert str(NAME) == BASE36
    forms = (BASE36, BASE32, peer_id(KEYS.public), did_key(KEYS.public), f"/ipns/{BASE36}", f"ipns://{BASE36}")
    assert {ipns.parse_name(form) for form in forms} == {NAME}
    assert (NAME.peer_id, NAME.did) == (peer_id(KEYS.public), did_key(KEYS.public))
    assert ipns.name_of_key(NAME.routing_key) == NAME


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_a_name_that_leads_back(seed: bytes) -> None:
    name = ipns.IpnsName(KeyPair(seed).public)
    assert str(name).startswith("k51qzi5uqu5d")
    assert ipns.parse_name(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k",
        "k51",
        "K51QZI",
        BASE36[:-1],
        BASE36 + "0",
        "me",
        "alice",
        "did:web:example.org",
        "bafkqaaa",
        "12D3KooWx",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG",
        "k" * 4000,
        "/ipfs/" + BASE36,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UnusableIpnsName):
        ipns.parse_name(text)


@given(st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    with contextlib.suppress(UnusableIpnsName):
        ipns.parse_name(text)


@pytest.mark.parametrize("key", [b"", b"/ipns/", b"/pk/" + b"x" * 32, NAME.routing_key + b"x", NAME.routing_key[:-1]])
def test_a_key_that_is_no_names_is_refused(key: bytes) -> None:
    with pytest.raises(UnusableIpnsName):
        ipns.name_of_key(key)


@given(
    st.integers(0, ipns.MAX_SEQUENCE),
    st.integers(NOW_MS + 1000, 4 * 10**12),
    st.integers(0, 10**6),
    st.text(st.characters(codec="utf-8"), max_size=200),
)
def test_a_record_says_what_it_was_made_to_say(sequence: int, until_ms: int, ttl_s: int, rest: str) -> None:
    record = check(make(sequence, path="/" + rest, until_ms=until_ms, ttl_s=ttl_s))
    assert (record.value, record.sequence, record.ttl_s) == ("/" + rest, sequence, ttl_s)
    assert until_ms - 1000 < record.valid_until_ms <= until_ms


def test_a_record_ends() -> None:
    raw = make()
    assert check(raw, now_ms=NOW_MS + HOUR_MS - 1)
    with pytest.raises(Expired):
        check(raw, now_ms=NOW_MS + HOUR_MS)


def test_a_record_is_of_its_name_alone() -> None:
    with pytest.raises(ForgedSignature):
        check(make(keys=OTHER))
    with pytest.raises(ForgedSignature):
        check(make(), name=ipns.IpnsName(OTHER.public))


def test_the_public_key_in_a_record_must_be_that_of_its_name() -> None:
    prefix = bytes.fromhex("08011220")
    assert check(make() + bytes_field(7, prefix + KEYS.public))
    with pytest.raises(ForgedSignature):
        check(make() + bytes_field(7, prefix + OTHER.public))


@given(st.data())
def test_a_record_with_any_bit_changed_is_refused_or_says_the_same(data: st.DataObject) -> None:
    raw = make()
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    changed = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
    try:
        record = check(changed)
    except RemoteProtocolError:
        return
    said = check(raw)
    assert (record.value, record.sequence, record.valid_until_ms) == (said.value, said.sequence, said.valid_until_ms)


@given(st.binary(max_size=600))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        check(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20) | st.binary(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=10,
    )
)
def test_any_signed_data_is_read_or_refused(value: object) -> None:
    """The signature is good: what a hostile owner of a name may write."""
    try:
        raw = signed_data(value)
    except LocalProtocolError:
        return
    with pytest.raises(RemoteProtocolError):
        check(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"Value": None},
        {"Value": "/ipfs/text"},
        {"Value": b"\xff\xfe"},
        {"Value": b"/" + b"x" * limits.MAX_IPNS_VALUE_BYTES},
        {"Validity": None},
        {"Validity": b"tomorrow"},
        {"Validity": b"2026-02-31T10:00:00Z"},
        {"Validity": b"2026-12-20T10:00:00"},
        {"ValidityType": 1},
        {"ValidityType": False},
        {"Sequence": -1},
        {"Sequence": 2**63},
        {"Sequence": True},
        {"TTL": None},
        {"TTL": -1},
    ],
    ids=str,
)
def test_a_signed_record_out_of_form_is_refused(changes: dict[str, object]) -> None:
    assert check(signed_data(body())).sequence == 3
    with pytest.raises(MalformedMessage):
        check(signed_data(body(**changes)))


def test_members_that_nobody_knows_are_ignored() -> None:
    assert check(signed_data(body(Colour="blue"))).value == PATH


@pytest.mark.parametrize("field", [1, 3, 4, 5, 6])
def test_the_two_versions_must_agree(field: int) -> None:
    raw = make()
    changed: Any = 9 if isinstance(dict(fields(raw))[field], int) else b"/ipfs/bafkqabi"
    with pytest.raises(MalformedMessage):
        check(rebuilt(raw, lambda found: found.update({field: changed})))
    with pytest.raises(RemoteProtocolError):
        check(rebuilt(raw, lambda found: found.pop(field)) if field != 3 else b"")


@pytest.mark.parametrize("field", [8, 9])
def test_a_record_of_version_1_alone_is_refused(field: int) -> None:
    with pytest.raises(MalformedMessage):
        check(rebuilt(make(), lambda found: found.pop(field)))


def test_a_record_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        check(make() + bytes_field(15, bytes(limits.MAX_IPNS_RECORD_BYTES)))


@pytest.mark.parametrize(
    "arguments", [{"path": "bafkqaaa"}, {"path": "/" + "x" * 5000}, {"sequence": -1}, {"sequence": 2**63}], ids=str
)
def test_we_make_no_record_that_nobody_takes(arguments: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        make(**arguments)


def test_the_newest_is_of_the_highest_sequence_then_the_latest_end() -> None:
    old, new = check(make(1, until_ms=NOW_MS + 9 * HOUR_MS)), check(make(2))
    longer = check(make(2, until_ms=NOW_MS + 2 * HOUR_MS))
    assert new.newer_than(old)
    assert longer.newer_than(new)
    assert not new.newer_than(new)
    assert ipns.newest_of([new, longer, old]) == longer
    assert ipns.newest_of([]) is None
