"""Credentials and presentations: what is made can be read, and what is not VCDM is refused by name."""

import json
from typing import Any

import pytest

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V1, CREDENTIALS_V2, PAGI_V1, UNDEFINED_TERMS_V2
from identity.credentials.errors import (
    ClaimsRefused,
    ContextUnknown,
    CredentialTooLarge,
    MalformedCredential,
)
from identity.credentials.vcdm import (
    build_presentation,
    check_contexts,
    is_presentation,
    read_credential,
    read_presentation,
)
from tests.identity.credentials.support import CLAIMS, ISSUER_DID, NOW_S, SUBJECT_DID, credential, signed


def test_what_is_made_is_read_back() -> None:
    document = credential(valid_until_s=NOW_S + 60)
    assert list(document) == [
        "@context",
        "id",
        "type",
        "issuer",
        "validFrom",
        "validUntil",
        "credentialSubject",
        "credentialSchema",
    ]
    assert document["@context"] == [CREDENTIALS_V2, PAGI_V1]
    assert document["type"] == ["VerifiableCredential", "PAGIReputationCredential"]
    assert document["credentialSubject"] == {"id": SUBJECT_DID, **CLAIMS}
    found = read_credential(json.loads(json.dumps(document)))
    assert (found.issuer, found.subjects, found.version) == (ISSUER_DID, (SUBJECT_DID,), "2.0")
    assert (found.valid_from_s, found.valid_until_s) == (NOW_S, NOW_S + 60)


def test_another_type_has_undefined_terms_or_the_contexts_given() -> None:
    document = credential(types=("Friend",), claims={"since": 2020})
    assert document["@context"] == [CREDENTIALS_V2, UNDEFINED_TERMS_V2]
    assert "credentialSchema" not in document
    document = credential(types=("Friend",), claims={"since": 2020}, contexts=(PAGI_V1,))
    assert document["@context"] == [CREDENTIALS_V2, PAGI_V1]
    assert credential(evidence=({"type": ["Talk"]},))["@context"][-1] == UNDEFINED_TERMS_V2
    with pytest.raises(ContextUnknown):
        credential(types=("Friend",), claims={"since": 2020}, contexts=("https://example.com/c",))


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"reputationScore": 0.5},
        {"reputationScore": 1.01, "contributions": []},
        {"reputationScore": -0.1, "contributions": []},
        {"reputationScore": "0.5", "contributions": []},
        {"reputationScore": 0.5, "contributions": [{"kind": "answer"}]},
        {"reputationScore": 0.5, "contributions": [], "unheardOf": 1},
        {"id": "did:key:other", "reputationScore": 0.5, "contributions": []},
    ],
)
def test_claims_that_do_not_fit_the_type_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(ClaimsRefused):
        credential(claims=claims)


@pytest.mark.parametrize(
    ("kind", "claims"),
    [
        ("CapabilityCredential", {"capabilities": ["research"], "level": "expert", "demonstratedBy": ["bafk1"]}),
        ("PAGISuccessionCredential", {"successor": SUBJECT_DID, "reason": "rotation"}),
        ("PAGITaskReceipt", {"task": "t1", "outcome": "done", "quality": 1, "finished": "2026-01-01T00:00:00Z"}),
    ],
)
def test_our_other_types(kind: str, claims: dict[str, Any]) -> None:
    signed(credential(types=(kind,), claims=claims), suite="eddsa-rdfc-2022")
    with pytest.raises(ClaimsRefused):
        credential(types=(kind,), claims={"reputationScore": 1})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in credential().items() if key != name}


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        without("@context"),
        without("type"),
        without("issuer"),
        without("credentialSubject"),
        {**credential(), "@context": ["https://example.com/first", CREDENTIALS_V2]},
        {**credential(), "@context": [PAGI_V1, CREDENTIALS_V2]},
        {**credential(), "@context": [CREDENTIALS_V2] * (bounds.MAX_CONTEXTS + 1)},
        {**credential(), "type": ["PAGIReputationCredential"]},
        {**credential(), "type": ["VerifiableCredential", 5]},
        {**credential(), "type": ["VerifiableCredential"] * (bounds.MAX_TYPES + 1)},
        {**credential(), "id": 5},
        {**credential(), "id": "with\nbreak"},
        {**credential(), "issuer": {"name": "no id"}},
        {**credential(), "issuer": ["did:key:a"]},
        {**credential(), "credentialSubject": []},
        {**credential(), "credentialSubject": [{}]},
        {**credential(), "credentialSubject": "did:key:a"},
        {**credential(), "credentialSubject": [{"a": 1}] * (bounds.MAX_SUBJECTS + 1)},
        {**credential(), "validFrom": 5},
        {**credential(), "validUntil": "soon"},
        {**credential(), "credentialStatus": "revoked"},
        {**credential(), "credentialStatus": [{"type": "X"}] * (bounds.MAX_STATUSES + 1)},
        {**credential(), "credentialSchema": [{"id": "no type"}]},
        {**credential(), "@context": [CREDENTIALS_V1]},
    ],
)
def test_what_is_no_credential_is_refused(document: Any) -> None:
    with pytest.raises(MalformedCredential):
        read_credential(document)


def test_a_credential_of_vcdm_1_is_read() -> None:
    document = {
        "@context": [CREDENTIALS_V1],
        "type": ["VerifiableCredential"],
        "issuer": {"id": ISSUER_DID, "name": "Ada"},
        "issuanceDate": "2026-01-01T00:00:00Z",
        "expirationDate": "2027-01-01T00:00:00Z",
        "credentialSubject": {"name": "nobody in particular"},
    }
    found = read_credential(document)
    assert (found.version, found.id, found.issuer, found.subjects) == ("1.1", None, ISSUER_DID, (None,))
    assert found.valid_until_s is not None


def test_presentations() -> None:
    document = build_presentation(
        holder=SUBJECT_DID, credentials=[signed(credential()), "a.b.c"], presentation_id="urn:uuid:1"
    )
    assert is_presentation(document)
    found = read_presentation(json.loads(json.dumps(document)))
    assert found.holder == SUBJECT_DID
    assert found.credentials == (document["verifiableCredential"][0], "a.b.c")
    assert read_presentation({**document, "holder": {"id": SUBJECT_DID}}).holder == SUBJECT_DID
    for bad in (
        {**document, "verifiableCredential": [{}] * (bounds.MAX_PRESENTED + 1)},
        {**document, "verifiableCredential": [5]},
        {**document, "verifiableCredential": [{"type": "EnvelopedVerifiableCredential", "id": "data:text/plain,x"}]},
        {**document, "holder": 5},
        {**document, "type": "VerifiableCredential"},
    ):
        with pytest.raises(MalformedCredential):
            read_presentation(bad)
    with pytest.raises(MalformedCredential):
        build_presentation(holder=SUBJECT_DID, credentials=[], presentation_id="urn:uuid:1")
    with pytest.raises(CredentialTooLarge):
        build_presentation(holder=SUBJECT_DID, credentials=["x" * 70_000], presentation_id="urn:uuid:1")


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({**credential(), "@context": [CREDENTIALS_V2, "https://example.com/c"]}, ContextUnknown),
        ({**credential(), "@context": [CREDENTIALS_V2, {"reputationScore": "urn:x"}]}, MalformedCredential),
        ({**credential(), "credentialSubject": {"@context": CREDENTIALS_V2, "a": 1}}, MalformedCredential),
        ({**credential(), "evidence": [{"deep": {"@context": {}}}]}, MalformedCredential),
    ],
)
def test_contexts_are_known_and_stand_at_the_top(document: dict[str, Any], error: type[Exception]) -> None:
    check_contexts(credential())
    with pytest.raises(error):
        check_contexts(document)
