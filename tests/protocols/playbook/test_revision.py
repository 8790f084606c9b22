"""Revisions: golden blocks, the order of the checks, and that nothing changed ever verifies."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_RAW
from protocols import dag_cbor, limits
from protocols.errors import (
    ForgedSignature,
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    SenderMismatch,
    TooLarge,
)
from protocols.playbook import dag_jose
from protocols.playbook.merge import from_revisions
from protocols.playbook.ops import read_op
from protocols.playbook.revision import (
    Revision,
    Set,
    SignedRevision,
    check_height,
    link_of,
    new_ops,
    next_height,
    sign_revision,
    verify_revision,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "revision.json").read_text())
KEYS = KeyPair(bytes.fromhex(VECTORS["seed"]))
DID = did_key(KEYS.public)
OTHER = KeyPair(bytes(32))


def revision_of(members: dict[str, Any]) -> Revision:
    author, height = Did(members["author"]), members["height"]
    return Revision(
        playbook=members["playbook"],
        parents=tuple(map(Cid.parse, members["parents"])),
        height=height,
        author=author,
        ts=members["ts"],
        critique=members["critique"],
        evidence=tuple(Cid.parse(item["/"]) if isinstance(item, dict) else item for item in members["evidence"]),
        ops=tuple(read_op(op, author=author, height=height, index=i) for i, op in enumerate(members["ops"])),
    )


@cache
def golden() -> SignedRevision:
    return sign_revision(revision_of(VECTORS["revisions"][1]["revision"]), KEYS)


def payload(**members: Any) -> dict[str, Any]:
    value = dag_cbor.decode(golden().payload_block, max_bytes=10_000, max_depth=20)
    assert isinstance(value, dict)
    return value | members


def verify_signed(block: bytes, keys: KeyPair = KEYS) -> SignedRevision:
    """Verify a payload block that `keys` really did sign, whatever it holds."""
    return verify_revision(dag_jose.seal(Cid.of(CODEC_DAG_CBOR, block), keys), block)


@pytest.mark.parametrize("case", VECTORS["revisions"], ids=["first", "second"])
def test_golden_blocks(case: dict[str, Any]) -> None:
    signed = sign_revision(revision_of(case["revision"]), KEYS)
    assert signed.payload_block.hex() == case["payload"]
    assert signed.envelope_block.hex() == case["envelope"]
    assert (str(signed.cid), str(signed.payload_cid)) == (case["cid"], case["payload_cid"])
    assert link_of(signed.envelope_block) == signed.payload_cid
    assert verify_revision(signed.envelope_block, signed.payload_block) == signed
    assert signed.revision == revision_of(case["revision"])


def test_golden_state() -> None:
    signed = [sign_revision(revision_of(case["revision"]), KEYS) for case in VECTORS["revisions"]]
    assert from_revisions("common", signed).state_hash == VECTORS["state_hash"]


def test_a_second_codec_reads_links_where_an_ipfs_node_follows_them() -> None:
    document = cbor2.loads(golden().payload_block)
    parent = Cid.parse(VECTORS["revisions"][0]["cid"])
    assert document["parents"] == [cbor2.CBORTag(42, b"\x00" + bytes(parent))]
    assert parent.codec == golden().cid.codec == CODEC_DAG_JOSE
    assert cbor2.loads(golden().envelope_block)["payload"] == bytes(golden().payload_cid)


@given(st.data())
def test_no_changed_byte_verifies(data: st.DataObject) -> None:
    blocks = [bytearray(golden().envelope_block), bytearray(golden().payload_block)]
    block = data.draw(st.sampled_from(blocks))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        verify_revision(bytes(blocks[0]), bytes(blocks[1]))


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_even_if_they_are_signed(data: bytes) -> None:
    for use in (
        lambda: link_of(data),
        lambda: verify_revision(data, golden().payload_block),
        lambda: verify_revision(golden().envelope_block, data),
        lambda: verify_signed(data),
    ):
        with pytest.raises(RemoteProtocolError):
            use()


@given(st.data())
def test_a_signed_payload_with_a_changed_byte_is_consistent_or_refused(data: st.DataObject) -> None:
    block = bytearray(golden().payload_block)
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        signed = verify_signed(bytes(block))
    except RemoteProtocolError:
        return
    assert sign_revision(signed.revision, KEYS) == signed


def test_size_is_checked_before_anything_else() -> None:
    block = bytes(limits.MAX_REVISION_BYTES + 1)
    with pytest.raises(TooLarge):
        verify_signed(block)
    with pytest.raises(TooLarge):
        verify_revision(bytes(limits.MAX_ENVELOPE_BYTES + 1), golden().payload_block)


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61a", b"\xd8\x2a"])
def test_deep_nesting_is_refused(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        verify_signed(head * 20_000)


def test_a_forged_signature_is_told_from_another_payload() -> None:
    signed = golden()
    with pytest.raises(ForgedSignature):
        verify_revision(signed.envelope_block[:-1] + bytes([signed.envelope_block[-1] ^ 1]), signed.payload_block)
    with pytest.raises(MalformedMessage, match="another block"):
        verify_revision(signed.envelope_block, signed.payload_block + b"\x00")


def test_the_author_is_who_signed() -> None:
    with pytest.raises(SenderMismatch):
        verify_signed(golden().payload_block, OTHER)
    with pytest.raises(LocalProtocolError):
        sign_revision(golden().revision, OTHER)


LINK = bytes(Cid.of(CODEC_DAG_JOSE, b"parent"))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": 1.0},
        {"extra": 1},
        {"playbook": "Common"},
        {"playbook": ""},
        {"playbook": "a" * 65},
        {"parents": []},
        {"parents": [bytes(Cid.of(CODEC_DAG_CBOR, b"parent"))]},
        {"parents": [bytes(Cid.of(CODEC_RAW, b"parent"))]},
        {"parents": [str(Cid.of(CODEC_DAG_JOSE, b"parent"))]},
        {"parents": [LINK, LINK]},
        {"parents": sorted((bytes(Cid.of(CODEC_DAG_JOSE, bytes([n]))) for n in range(3)), reverse=True)},
        {"parents": sorted(bytes(Cid.of(CODEC_DAG_JOSE, bytes([n]))) for n in range(65))},
        {"parents": [b"\x01\x85\x01\x00\x00"]},
        {"height": 1},
        {"height": 0},
        {"height": -1},
        {"height": 2.0},
        {"height": 2**53},
        {"author": "did:web:example.org"},
        {"author": None},
        {"ts": -1},
        {"ts": 2**53},
        {"critique": "ä" * 2049},
        {"critique": "\x1b"},
        {"critique": None},
        {"evidence": [""]},
        {"evidence": ["e" * 257]},
        {"evidence": [1]},
        {"evidence": [str(n) for n in range(33)]},
        {"ops": None},
        {"ops": [{}]},
        {"ops": [{"op": "remove", "id": "b" + "a" * 32}] * 257},
        {"ops": [{"op": "set", "key": "a", "value": LINK}]},
    ],
    ids=lambda change: str(change)[:50],
)
def test_the_schema_is_strict(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        verify_signed(dag_cbor.encode(payload(**change)))


def test_a_missing_member_is_refused() -> None:
    for member in payload():
        with pytest.raises(MalformedMessage):
            verify_signed(dag_cbor.encode({key: value for key, value in payload().items() if key != member}))


def test_a_byte_string_that_looks_like_a_link_is_refused() -> None:
    block = golden().payload_block
    parent = bytes(Cid.parse(VECTORS["revisions"][0]["cid"]))
    link = b"\xd8\x2a\x58" + bytes([len(parent) + 1]) + b"\x00" + parent
    assert link in block
    with pytest.raises(MalformedMessage):
        verify_signed(block.replace(link, b"\x58" + bytes([len(parent)]) + parent))


def test_the_largest_revision_that_the_bounds_allow() -> None:
    ops = new_ops([{"op": "remove", "id": "b" + "a" * 32}] * 256, author=DID, height=2)
    parents = tuple(Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(64))
    evidence = tuple(str(number).ljust(256, "e") for number in range(32))
    signed = sign_revision(Revision("a" * 64, parents, 2, DID, 2**53 - 1, "c" * 4096, evidence, ops), KEYS)
    assert verify_revision(signed.envelope_block, signed.payload_block) == signed


def test_signing_puts_the_parents_in_order() -> None:
    parents = tuple(Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(5))
    signed = sign_revision(Revision("p", (*parents, parents[0]), 2, DID, 0, "", (), ()), KEYS)
    assert signed.revision.parents == tuple(sorted(parents))


@pytest.mark.parametrize(
    "change",
    [
        {"playbook": "No Name"},
        {"height": 0},
        {"critique": "\ud800"},
        {"critique": "c" * 4097},
        {"ops": (Set("version", 1),)},
        {"ops": tuple(new_ops([{"op": "add", "section": "s", "text": "t"}], author=DID, height=7))},
        {"ops": tuple(new_ops([{"op": "add", "section": "s", "text": "t" * 4096}] * 64, author=DID, height=2))},
    ],
    ids=range(7),
)
def test_what_others_would_refuse_is_not_signed(change: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        sign_revision(replace(golden().revision, **change), KEYS)


def test_heights() -> None:
    first, second = (revision_of(case["revision"]) for case in VECTORS["revisions"])
    assert (next_height([]), next_height([first]), next_height([first, second])) == (1, 2, 3)
    check_height(first, [])
    check_height(second, [first])
    with pytest.raises(MalformedMessage):
        check_height(replace(second, height=3), [first])
    with pytest.raises(MalformedMessage):
        check_height(second, [replace(first, playbook="other")])
