"""Credentials as JWT, signed by another library (joserfc)."""

from typing import Any, Final

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V1
from identity.credentials.errors import (
    CredentialTooLarge,
    MalformedCredential,
    ProofInvalid,
    Unsigned,
    UnsupportedProof,
)
from identity.credentials.jose import check_jwt, read_jwt
from identity.curves import from_jwk
from identity.did import DidDocument, VerificationMethod, parse_did
from identity.multibase import base64url
from tests.identity.credentials.support import NOW_S, SUBJECT_DID, credential, failures, verified

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")

ISSUER: Final = parse_did("did:web:issuer.example")
KID = f"{ISSUER}#key-1"
KEYS: Final = {
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "ES256K": ECKey.generate_key("secp256k1"),
}


def method(algorithm: str) -> VerificationMethod:
    curve, public = from_jwk(KEYS[algorithm].as_dict(private=False))
    return VerificationMethod(KID, curve, public)


def token(claims: Any, algorithm: str = "EdDSA", **header: Any) -> str:
    """A header given as None is left out."""
    protected = {"alg": algorithm, "kid": KID, "typ": "vc+jwt", **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    data = claims if isinstance(claims, bytes) else orjson.dumps(claims)
    return jws.serialize_compact(protected, data, KEYS[algorithm], algorithms=list(KEYS))


def unsigned(claims: Any, header: Any) -> str:
    return f"{base64url(orjson.dumps(header))}.{base64url(orjson.dumps(claims))}."


VC = credential(issuer=ISSUER)


async def resolve(did: Any) -> DidDocument:
    assert did == ISSUER
    keys = (method("EdDSA"),)
    return DidDocument(did, keys, (), keys)


def old_style(**claims: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "sub": SUBJECT_DID,
        "jti": "urn:uuid:5",
        "nbf": NOW_S,
        "vc": {"@context": [CREDENTIALS_V1], "type": ["VerifiableCredential"], "credentialSubject": {"name": "Bela"}},
        **claims,
    }


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_algorithm(algorithm: str) -> None:
    jwt = read_jwt(token(VC, algorithm))
    assert (jwt.document, jwt.method) == (VC, KID)
    check_jwt(jwt, method(algorithm))
    other = "ES256" if algorithm == "EdDSA" else "EdDSA"
    with pytest.raises(ProofInvalid):
        check_jwt(jwt, method(other))
    text = token(VC, algorithm)
    flipped = text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
    with pytest.raises(ProofInvalid):
        check_jwt(read_jwt(flipped), method(algorithm))


def test_a_signature_of_another_length_is_refused() -> None:
    text = token(VC, "ES256").rpartition(".")[0] + "." + base64url(bytes(63))
    with pytest.raises(ProofInvalid, match="64 bytes"):
        check_jwt(read_jwt(text), method("ES256"))


@pytest.mark.parametrize("name", ["none", "None", "NONE"])
def test_the_algorithm_none_is_refused(name: str) -> None:
    with pytest.raises(Unsigned):
        read_jwt(unsigned(VC, {"alg": name, "kid": KID}))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": None},
        {},
        {"alg": "EdDSA", "crit": ["exp"]},
        {"alg": "EdDSA", "b64": False},
        {"alg": "EdDSA", "typ": "secevent+jwt"},
        {"alg": "EdDSA", "typ": 5},
    ],
)
def test_headers_that_are_not_understood(header: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedProof):
        read_jwt(unsigned(VC, header))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d",
        "!.e30.",
        "e30=.e30.",
        f"{base64url(b'[]')}.e30.",
        f"{base64url(b'{')}.e30.",
        unsigned([], {"alg": "EdDSA"}),
        unsigned({"vc": []}, {"alg": "EdDSA"}),
        unsigned({**VC, "exp": "tomorrow"}, {"alg": "EdDSA"}),
        unsigned({**VC, "exp": 10**15}, {"alg": "EdDSA"}),
        unsigned({**VC, "aud": ["x"] * 9}, {"alg": "EdDSA"}),
        unsigned({**VC, "jti": "urn:uuid:other"}, {"alg": "EdDSA"}),
        unsigned({**VC, "iss": "did:key:other"}, {"alg": "EdDSA"}),
        unsigned(VC, {"alg": "EdDSA", "kid": 5}),
    ],
)
def test_what_is_no_jwt_of_a_credential(text: str) -> None:
    with pytest.raises(MalformedCredential):
        read_jwt(text)


def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(CredentialTooLarge):
        read_jwt("a" * (bounds.MAX_CREDENTIAL_BYTES + 1))
    with pytest.raises(CredentialTooLarge):
        read_jwt(unsigned(VC, {"alg": "EdDSA", "x": "a" * 10_000}))


def test_a_jwt_verifies_and_a_wrong_issuer_does_not() -> None:
    assert failures(verified(token(VC), resolve=resolve)) == {}
    assert failures(verified(token({**VC, "iss": ISSUER}, kid=None), resolve=resolve)) == {}
    assert failures(verified(token({**VC, "iss": ISSUER}, kid="#key-1"), resolve=resolve)) == {}
    assert failures(verified(token(VC, kid=f"{ISSUER}#key-2"), resolve=resolve))["signature"] == "WrongIssuer"
    foreign = token({**VC, "issuer": "did:web:other.example"})
    assert failures(verified(foreign, resolve=resolve)) == {"issuer": "WrongIssuer"}


def test_the_times_of_the_claims_count() -> None:
    assert failures(verified(token({**VC, "exp": NOW_S - 1}), resolve=resolve)) == {"times": "CredentialExpired"}
    assert failures(verified(token({**VC, "nbf": NOW_S + 9999}), resolve=resolve)) == {"times": "NotYetValid"}


def test_the_vc_claim_of_vcdm_1() -> None:
    outcome = verified(token(old_style(exp=NOW_S + 60), typ="JWT"), resolve=resolve)
    assert failures(outcome) == {}
    assert outcome.document is not None
    assert outcome.document["credentialSubject"] == {"id": SUBJECT_DID, "name": "Bela"}
    assert (outcome.document["id"], outcome.document["issuer"]) == ("urn:uuid:5", ISSUER)
    late = verified(token(old_style(exp=NOW_S - 60), typ="JWT"), resolve=resolve)
    assert failures(late) == {"times": "CredentialExpired"}


@pytest.mark.parametrize("claims", [{"jti": "urn:uuid:6"}, {"iss": "did:web:other.example"}, {"sub": "did:key:other"}])
def test_claims_that_contradict_the_credential(claims: dict[str, Any]) -> None:
    said = {"id": "urn:uuid:5", "issuer": ISSUER, "credentialSubject": {"id": SUBJECT_DID, "name": "Bela"}}
    vc = {"@context": [CREDENTIALS_V1], "type": ["VerifiableCredential"], **said}
    with pytest.raises(MalformedCredential, match="contradict"):
        read_jwt(token(old_style(vc=vc, **claims), typ=None))


def test_a_presentation_as_jwt_answers_by_nonce_and_audience() -> None:
    vp = {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiablePresentation"],
        "holder": ISSUER,
        "verifiableCredential": [],
        "nonce": "n-1",
        "aud": "https://verifier.example",
    }
    text = token(vp, typ="vp+jwt")
    good = verified(text, resolve=resolve, challenge="n-1", domain="https://verifier.example")
    assert failures(good) == {}
    bad = verified(text, resolve=resolve, challenge="n-2", domain="https://other.example")
    assert failures(bad) == {"challenge": "ChallengeMismatch", "domain": "DomainMismatch"}
