"""Gate results: signed blocks with strict bounds."""

from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor
from protocols.errors import LocalProtocolError, RemoteProtocolError, SenderMismatch
from protocols.playbook import dag_jose
from protocols.playbook.gate import GateResult, SignedGateResult, sign_gate_result, verify_gate_result

KEYS = KeyPair(bytes(range(32)))
REVISION = Cid.of(CODEC_DAG_JOSE, b"revision")
RESULT = GateResult("common", REVISION, did_key(KEYS.public), 7, 10, 6, 8, "smollm2-135m")


def body(**members: Any) -> dict[str, Any]:
    value = dag_cbor.decode(sign_gate_result(RESULT, KEYS).payload_block, max_bytes=2000, max_depth=5)
    assert isinstance(value, dict)
    return value | members


def verified(value: object, keys: KeyPair = KEYS) -> SignedGateResult:
    block = dag_cbor.encode(value)
    return verify_gate_result(dag_jose.seal(Cid.of(CODEC_DAG_CBOR, block), keys), block)


def test_round_trip() -> None:
    signed = sign_gate_result(RESULT, KEYS)
    assert verify_gate_result(signed.envelope_block, signed.payload_block) == signed
    assert signed.result == RESULT
    assert signed.cid.matches(signed.envelope_block)
    assert verified(body()) == signed


def test_an_ipfs_node_follows_it_to_the_revision() -> None:
    document = cbor2.loads(sign_gate_result(RESULT, KEYS).payload_block)
    assert document["revision"] == cbor2.CBORTag(42, b"\x00" + bytes(REVISION))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"kind": "snapshot"},
        {"extra": 1},
        {"playbook": ""},
        {"revision": bytes(Cid.of(CODEC_DAG_CBOR, b""))},
        {"revision": str(REVISION)},
        {"checks": 0},
        {"checks": 10_001},
        {"passed_with": 11},
        {"passed_without": -1},
        {"passed_with": True},
        {"ts": 1.0},
        {"by": ""},
        {"by": "m" * 129},
        {"by": "a\nb"},
        {"author": None},
    ],
    ids=str,
)
def test_the_schema_is_strict(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        verified(body(**change))


def test_the_author_is_who_signed() -> None:
    with pytest.raises(SenderMismatch):
        verified(body(), KeyPair(bytes(32)))
    with pytest.raises(LocalProtocolError):
        sign_gate_result(RESULT, KeyPair(bytes(32)))


def test_what_others_would_refuse_is_not_signed() -> None:
    with pytest.raises(LocalProtocolError):
        sign_gate_result(replace(RESULT, passed_with=11), KEYS)


@given(st.data())
def test_no_changed_byte_verifies(data: st.DataObject) -> None:
    signed = sign_gate_result(RESULT, KEYS)
    blocks = [bytearray(signed.envelope_block), bytearray(signed.payload_block)]
    block = data.draw(st.sampled_from(blocks))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        verify_gate_result(bytes(blocks[0]), bytes(blocks[1]))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        verify_gate_result(dag_jose.seal(Cid.of(CODEC_DAG_CBOR, data), KEYS), data)
