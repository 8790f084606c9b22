"""VCDM 1.1 through didkit: what is refused, and what happens without the library."""

import asyncio
import sys
import time
from typing import Any

import orjson
import pytest

from identity.credentials.errors import ClaimsRefused
from identity.keys import KeyPair
from node.credentials import vc11
from node.credentials.errors import DidkitMissing
from tests.identity.credentials.support import ISSUER, STRANGER, SUBJECT_DID, credential, failures, method_of, signed

NOW_S = time.time()


def issued(keys: KeyPair = ISSUER, suite: vc11.LegacySuite = "Ed25519Signature2020", **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": "Friend",
        "subject": SUBJECT_DID,
        "claims": {"since": 2020},
        "credential_id": "urn:uuid:22222222-2222-4222-8222-222222222222",
        "now_s": NOW_S,
        "valid_until_s": NOW_S + 60,
    }
    document: dict[str, Any] = orjson.loads(asyncio.run(vc11.issue(keys, suite=suite, **{**values, **more})))
    return document


def verified(document: Any, now_s: float = NOW_S) -> dict[str, str]:
    return failures(asyncio.run(vc11.verify(document, now_s=now_s)))


@pytest.mark.parametrize("suite", ["Ed25519Signature2018", "Ed25519Signature2020"])
def test_a_good_one_and_changed_ones(suite: Any) -> None:
    document = issued(suite=suite)
    assert vc11.is_legacy(document)
    assert verified(document) == {}
    subject = {**document["credentialSubject"], "since": 1999}
    assert verified({**document, "credentialSubject": subject}) == {"signature": "ProofInvalid"}
    late = {**document["proof"], "proofPurpose": "authentication"}
    assert "purpose" in verified({**document, "proof": late})
    assert verified(document, NOW_S + 120) == {"times": "CredentialExpired"}


def test_somebody_elses_signature_or_name() -> None:
    document = issued()
    assert "issuer" in verified({**document, "issuer": SUBJECT_DID})
    other = {**document["proof"], "verificationMethod": method_of(STRANGER)}
    assert verified({**document, "proof": other}) == {"signature": "ProofInvalid", "issuer": "WrongIssuer"}


def test_issuers_that_didkit_would_have_to_look_up_are_not_given_to_it() -> None:
    document = issued()
    proof = {**document["proof"], "verificationMethod": "did:web:attacker.example#key"}
    assert verified({**document, "proof": proof}) == {"signature": "UnsupportedProof", "issuer": "WrongIssuer"}
    assert verified({**document, "proof": [document["proof"]] * 2})["signature"] == "UnsupportedProof"


def test_a_context_of_the_credentials_own_is_refused() -> None:
    document = issued()
    document["@context"] = [document["@context"][0], {"@vocab": "https://attacker.example/#"}]
    assert verified(document)["context"] == "MalformedCredential"


def test_what_is_signed_cannot_be_written_so_that_it_is_not_seen() -> None:
    document = issued(valid_until_s=NOW_S + 60)
    end = {"@value": document.pop("expirationDate"), "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}
    hidden = {**document, "https://www.w3.org/2018/credentials#expirationDate": end}
    assert verified(hidden, NOW_S + 120) == {"context": "MalformedCredential"}
    bare = issued(kind="VerifiableCredential", claims={})
    bare["@context"] = bare["@context"][:1]
    assert verified({**bare, "type": [*bare["type"], "PAGIReputationCredential"]})["context"] == "MalformedCredential"


def test_a_status_of_such_a_credential_is_not_looked_up() -> None:
    status = {"id": "https://a.example/1", "type": "RevocationList2020Status"}
    assert verified({**issued(), "credentialStatus": status})["status"] == "UnsupportedProof"


def test_claims_that_didkit_cannot_sign() -> None:
    with pytest.raises(ClaimsRefused):
        issued(claims={"@reverse": 5})


def test_ours_are_not_legacy() -> None:
    assert not vc11.is_legacy(signed(credential()))
    assert not vc11.is_legacy("text")
    assert verified({}) == {"parse": "MalformedCredential"}


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    document = issued()
    monkeypatch.setitem(sys.modules, "didkit", None)
    with pytest.raises(DidkitMissing) as caught:
        issued()
    assert "pip install" in caught.value.hint
    assert verified(document) == {"signature": "DidkitMissing"}
