"""Signed envelopes: both JSON forms, both places of `kid`, and the three algorithms of DIDComm v2.1."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.curves import Curve
from identity.multibase import base64url
from protocols.didcomm import jws
from protocols.errors import (
    ForgedSignature,
    MalformedMessage,
    RemoteProtocolError,
    UnresolvableKey,
    UnsupportedAlgorithm,
)

PAYLOAD = b'{"any": "bytes"}'
Bend = Callable[[bytes, Callable[[dict[str, Any]], object]], bytes]


@pytest.fixture
def signed(alice: Any) -> bytes:
    return jws.sign(PAYLOAD, kid=alice.signs_as, signer=alice.keys)


def open_from(packed: bytes, *signers: Any) -> tuple[bytes, str]:
    public: dict[str, bytes] = {signer.signs_as: signer.keys.public for signer in signers}

    def signer_key(kid: str, curve: Curve) -> bytes:
        if kid not in public or curve != "Ed25519":
            raise UnresolvableKey(kid)
        return public[kid]

    return jws.open_signed(json.loads(packed), signer_key=signer_key)


def sign_with(header: dict[str, Any], alice: Any) -> dict[str, Any]:
    """A JWS entry with any protected header, truly signed."""
    protected = base64url(json.dumps(header).encode())
    signature = alice.keys.sign(f"{protected}.{base64url(PAYLOAD)}".encode())
    return {"protected": protected, "signature": base64url(signature)}


def test_it_comes_back_with_its_key_id(signed: bytes, alice: Any) -> None:
    assert open_from(signed, alice) == (PAYLOAD, alice.signs_as)


def test_it_is_written_as_every_implementation_reads_it(signed: bytes, alice: Any) -> None:
    envelope = json.loads(signed)
    assert set(envelope) == {"payload", "signatures"}
    (entry,) = envelope["signatures"]
    assert entry["header"] == {"kid": alice.signs_as}


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize("kid_protected", [False, True])
@pytest.mark.parametrize("typ", ["application/didcomm-signed+json", "didcomm-signed+json", "JWM", None])
def test_every_permitted_form_is_read(alice: Any, flattened: bool, kid_protected: bool, typ: str | None) -> None:
    header = {"alg": "EdDSA"} | ({"typ": typ} if typ else {}) | ({"kid": alice.signs_as} if kid_protected else {})
    entry = sign_with(header, alice) | ({} if kid_protected else {"header": {"kid": alice.signs_as}})
    envelope = {"payload": base64url(PAYLOAD)} | (entry if flattened else {"signatures": [entry]})
    assert open_from(json.dumps(envelope).encode(), alice) == (PAYLOAD, alice.signs_as)


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ({"alg": "none"}, UnsupportedAlgorithm),
        ({"alg": "HS256"}, UnsupportedAlgorithm),
        ({"alg": "ES384"}, UnsupportedAlgorithm),
        ({"alg": ["EdDSA"]}, UnsupportedAlgorithm),
        ({"alg": "ES256"}, UnresolvableKey),
        ({"alg": None}, UnsupportedAlgorithm),
        ({}, UnsupportedAlgorithm),
        ({"alg": "EdDSA", "crit": ["b64"], "b64": False}, UnsupportedAlgorithm),
        ({"alg": "EdDSA", "typ": "application/didcomm-encrypted+json"}, MalformedMessage),
    ],
)
def test_other_headers_are_refused_although_truly_signed(
    alice: Any, header: dict[str, Any], error: type[Exception]
) -> None:
    entry = sign_with(header, alice) | {"header": {"kid": alice.signs_as}}
    with pytest.raises(error):
        open_from(json.dumps({"payload": base64url(PAYLOAD), "signatures": [entry]}).encode(), alice)


def test_a_key_id_in_both_headers_is_refused(alice: Any, mallory: Any) -> None:
    entry = sign_with({"alg": "EdDSA", "kid": alice.signs_as}, alice) | {"header": {"kid": mallory.signs_as}}
    with pytest.raises(MalformedMessage):
        open_from(json.dumps({"payload": base64url(PAYLOAD), "signatures": [entry]}).encode(), alice, mallory)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda e: e.update(payload=base64url(b"other")), ForgedSignature),
        (lambda e: e["signatures"][0].update(signature=base64url(bytes(64))), ForgedSignature),
        (lambda e: e["signatures"][0].update(signature=base64url(bytes(63))), MalformedMessage),
        (lambda e: e["signatures"][0].update(signature=7), MalformedMessage),
        (lambda e: e["signatures"][0].pop("protected"), MalformedMessage),
        (lambda e: e["signatures"][0]["header"].pop("kid"), MalformedMessage),
        (lambda e: e["signatures"][0]["header"].update(kid="did:example:x#1"), UnresolvableKey),
        (lambda e: e["signatures"][0].update(header=[]), MalformedMessage),
        (lambda e: e["signatures"][0]["header"].update(alg="EdDSA"), MalformedMessage),
        (lambda e: e["signatures"].append(e["signatures"][0]), MalformedMessage),
        (lambda e: e["signatures"].clear(), MalformedMessage),
        (lambda e: e.update(signatures={}), MalformedMessage),
        (lambda e: e.update(signatures=[None]), MalformedMessage),
        (lambda e: e.update(signature="AA"), MalformedMessage),
        (lambda e: e.pop("payload"), MalformedMessage),
        (lambda e: e.update(payload="é"), MalformedMessage),
    ],
)
def test_wrong_parts_are_refused(
    signed: bytes, alice: Any, bend: Bend, change: Callable[[dict[str, Any]], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        open_from(bend(signed, change), alice)


def test_the_signature_of_another_is_refused(alice: Any, mallory: Any) -> None:
    with pytest.raises(ForgedSignature):
        open_from(jws.sign(PAYLOAD, kid=alice.signs_as, signer=mallory.keys), alice)


def test_a_key_that_is_no_good_point_is_refused(signed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        jws.open_signed(json.loads(signed), signer_key=lambda kid, curve: bytes(32))


@pytest.fixture(scope="module", params=["ES256", "ES256K"])
def elliptic(request: pytest.FixtureRequest) -> tuple[str, ec.EllipticCurvePrivateKey]:
    return request.param, ec.generate_private_key(ec.SECP256R1() if request.param == "ES256" else ec.SECP256K1())


def ecdsa(alg: str, private: ec.EllipticCurvePrivateKey, change: Callable[[bytes], bytes] = bytes) -> dict[str, Any]:
    """A JWS signed with ECDSA; `change` bends the signature."""
    protected = base64url(json.dumps({"alg": alg, "kid": "did:example:a#1"}).encode())
    payload = base64url(PAYLOAD)
    r, s = decode_dss_signature(private.sign(f"{protected}.{payload}".encode(), ec.ECDSA(SHA256())))
    signature = change(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    return {"payload": payload, "signatures": [{"protected": protected, "signature": base64url(signature)}]}


def point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_ecdsa_is_read(elliptic: tuple[str, ec.EllipticCurvePrivateKey]) -> None:
    alg, private = elliptic
    asked: list[Curve] = []

    def signer_key(kid: str, curve: Curve) -> bytes:
        asked.append(curve)
        return point(private)

    assert jws.open_signed(ecdsa(alg, private), signer_key=signer_key) == (PAYLOAD, "did:example:a#1")
    assert asked == ["P-256" if alg == "ES256" else "secp256k1"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda signature: bytes(64), ForgedSignature),
        (lambda signature: b"\xff" * 64, ForgedSignature),
        (lambda signature: signature[32:] + signature[:32], ForgedSignature),
        (lambda signature: signature[:63] + bytes((signature[63] ^ 1,)), ForgedSignature),
        (lambda signature: signature + b"\x00", MalformedMessage),
        (lambda signature: signature[:63], MalformedMessage),
    ],
)
def test_a_wrong_ecdsa_signature_is_refused(
    elliptic: tuple[str, ec.EllipticCurvePrivateKey], change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    alg, private = elliptic
    with pytest.raises(error):
        jws.open_signed(ecdsa(alg, private, change), signer_key=lambda kid, curve: point(private))


def test_a_key_off_the_curve_is_refused(elliptic: tuple[str, ec.EllipticCurvePrivateKey]) -> None:
    alg, private = elliptic
    with pytest.raises(ForgedSignature):
        jws.open_signed(ecdsa(alg, private), signer_key=lambda kid, curve: b"\x04" + bytes(63) + b"\x01")
