"""The envelope: its exact bytes against a second CBOR codec and a second Ed25519, and every change of it."""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, base64url
from protocols.errors import MalformedMessage, RemoteProtocolError, TooLarge
from protocols.playbook import dag_jose

KEYS = KeyPair(bytes(range(32)))
DID = did_key(KEYS.public)
PAYLOAD = Cid.of(CODEC_DAG_CBOR, b"\xa0")
BLOCK = dag_jose.seal(PAYLOAD, KEYS)


def as_other(**members: object) -> bytes:
    document = cbor2.loads(BLOCK)
    return cbor2.dumps(document | members, canonical=True)


def test_a_second_codec_writes_the_same_bytes() -> None:
    protected = f'{{"alg":"EdDSA","kid":"{DID}#{DID.removeprefix("did:key:")}"}}'.encode()
    signature = cbor2.loads(BLOCK)["signatures"][0]["signature"]
    document = {"payload": bytes(PAYLOAD), "signatures": [{"protected": protected, "signature": signature}]}
    assert cbor2.dumps(document, canonical=True) == BLOCK
    assert as_other() == BLOCK


def test_a_second_ed25519_verifies_the_jws() -> None:
    entry = cbor2.loads(BLOCK)["signatures"][0]
    signing_input = f"{base64url(entry['protected'])}.{base64url(bytes(PAYLOAD))}".encode()
    Ed25519PublicKey.from_public_bytes(KEYS.public).verify(entry["signature"], signing_input)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=10))
def test_round_trip(seed: bytes, block: bytes) -> None:
    keys, payload = KeyPair(seed), Cid.of(CODEC_DAG_CBOR, block)
    envelope = dag_jose.read(dag_jose.seal(payload, keys))
    assert (envelope.payload, envelope.signer) == (payload, did_key(keys.public))
    envelope.check_signature()


def test_no_changed_bit_verifies() -> None:
    for bit in range(8 * len(BLOCK)):
        block = bytearray(BLOCK)
        block[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError):
            dag_jose.read(bytes(block)).check_signature()


@given(st.binary(max_size=400))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    for candidate in (data, BLOCK[: len(data)], BLOCK + data[:1] + b"\x00", data + BLOCK[len(data) :]):
        if candidate != BLOCK:
            with pytest.raises(RemoteProtocolError):
                dag_jose.read(candidate).check_signature()


@pytest.mark.parametrize(
    "block",
    [
        as_other(link=cbor2.CBORTag(42, b"\x00" + bytes(PAYLOAD))),
        as_other(payload=cbor2.CBORTag(42, b"\x00" + bytes(PAYLOAD))),
        as_other(payload=b"\x02" + bytes(PAYLOAD)[1:]),
        as_other(signatures=[]),
        as_other(signatures=cbor2.loads(BLOCK)["signatures"] * 2),
        as_other(signatures=[cbor2.loads(BLOCK)["signatures"][0] | {"header": {}}]),
        as_other(signatures=[cbor2.loads(BLOCK)["signatures"][0] | {"protected": b'{"alg":"none"}'}]),
        as_other(
            signatures=[
                entry | {"protected": entry["protected"].replace(b"EdDSA", b"HS256")}
                for entry in cbor2.loads(BLOCK)["signatures"]
            ]
        ),
        cbor2.dumps(dict(reversed(cbor2.loads(BLOCK).items()))),
    ],
    ids=[
        "extra",
        "payload as link",
        "payload no CIDv1",
        "unsigned",
        "twice signed",
        "header",
        "none",
        "other algorithm",
        "order of keys",
    ],
)
def test_other_forms_are_refused(block: bytes) -> None:
    with pytest.raises(MalformedMessage):
        dag_jose.read(block)


def test_the_key_id_must_repeat_the_signer() -> None:
    other = did_key(KeyPair(bytes(32)).public).removeprefix("did:key:").encode()
    block = BLOCK.replace(b"#" + DID.removeprefix("did:key:").encode(), b"#" + other)
    assert len(block) == len(BLOCK)
    with pytest.raises(MalformedMessage):
        dag_jose.read(block)


def test_another_signer_cannot_be_named() -> None:
    mine = DID.removeprefix("did:key:").encode()
    other = did_key(KeyPair(bytes(32)).public).removeprefix("did:key:").encode()
    with pytest.raises(RemoteProtocolError):
        dag_jose.read(BLOCK.replace(mine, other)).check_signature()


def test_a_large_block_is_not_even_read() -> None:
    with pytest.raises(TooLarge):
        dag_jose.read(BLOCK + bytes(10_000_000))
