"""The two suites against the vectors of the specification, and what makes a proof fail."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.credentials.contexts import UNDEFINED_TERMS_V2
from identity.credentials.data_integrity import (
    ProofOptions,
    Suite,
    add_proof,
    canonical_forms,
    check_proof,
    hash_data,
    read_proofs,
)
from identity.credentials.errors import (
    ContextUnknown,
    CredentialError,
    MalformedCredential,
    ProofInvalid,
    Unsigned,
    UnsupportedProof,
)
from identity.credentials.values import as_list
from identity.did import VerificationMethod, did_of_url, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import decode
from tests.identity.credentials.support import (
    ISSUER,
    STRANGER,
    SUBJECT,
    contexts_with,
    credential,
    method_of,
    signed,
    vector,
)

SUITES: tuple[Suite, ...] = ("eddsa-jcs-2022", "eddsa-rdfc-2022")


def key_of(url: str) -> VerificationMethod:
    return resolve_did_key(did_of_url(url)).assertion[0]


def check_all(document: dict[str, Any], contexts: Any = None) -> None:
    for proof in read_proofs(document):
        check_proof(document, proof, key_of(proof.verification_method), contexts=contexts)


@pytest.mark.parametrize("suite", SUITES)
def test_every_step_of_the_published_vector(suite: Suite) -> None:
    known = vector(suite.replace("-", "_") + ".json")
    contexts = contexts_with(known["contexts"])
    document = {name: value for name, value in known["signed"].items() if name != "proof"}
    options = known["proofConfig"]
    options_form, document_form = canonical_forms(document, options, suite, contexts)
    assert options_form.decode() == known["proofCanonical"]
    assert document_form.decode() == known["documentCanonical"]
    data = hash_data(document, options, suite, contexts)
    assert data.hex() == known["combinedHash"] == known["proofHash"] + known["documentHash"]
    seed = decode(known["keyPair"]["privateKeyMultibase"])[2:]
    assert KeyPair(seed).sign(data).hex() == known["signatureHex"]
    made = add_proof(
        document,
        ProofOptions(verification_method=options["verificationMethod"], created=options["created"], suite=suite),
        sign=KeyPair(seed).sign,
        contexts=contexts,
    )
    assert made["proof"]["proofValue"] == known["proofValue"]
    assert made == known["signed"]
    check_all(known["signed"], contexts)


@pytest.mark.parametrize("name", ["signedProofSet1", "signedProofSet2", "signedProofChain1", "signedProofChain2"])
def test_the_published_proof_sets_and_chains(name: str) -> None:
    known = vector("proof_set_chain.json")
    contexts = contexts_with(known["contexts"])
    document = known[name]
    check_all(document, contexts)
    proofs = as_list(document["proof"])
    for number in range(len(proofs)):
        changed = json.loads(json.dumps({**document, "proof": proofs}))
        changed["proof"][number]["created"] = "2023-02-26T22:16:39Z"
        with pytest.raises(ProofInvalid):
            check_all(changed, contexts)


@pytest.mark.parametrize("suite", SUITES)
def test_a_chain_of_ours_breaks_when_a_link_goes(suite: Suite) -> None:
    first = signed(credential(), suite=suite, id="urn:uuid:1")
    both = signed(first, SUBJECT, suite=suite, previous=("urn:uuid:1",))
    check_all(both)
    both["proof"] = both["proof"][1:]
    with pytest.raises(ProofInvalid, match="not there"):
        check_all(both)


@pytest.mark.parametrize("suite", SUITES)
def test_another_key_or_a_changed_claim_is_refused(suite: Suite) -> None:
    document = signed(credential(), suite=suite)
    check_all(document)
    (proof,) = read_proofs(document)
    with pytest.raises(ProofInvalid):
        check_proof(document, proof, key_of(method_of(STRANGER)))
    document["credentialSubject"]["reputationScore"] = 1
    with pytest.raises(ProofInvalid):
        check_all(document)


paths = [
    ("id",),
    ("issuer",),
    ("validFrom",),
    ("credentialSubject", "id"),
    ("credentialSubject", "reputationScore"),
    ("credentialSubject", "contributions", 0, "evidence"),
    ("credentialSchema", "id"),
    ("proof", "created"),
    ("proof", "verificationMethod"),
    ("proof", "proofPurpose"),
]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("path", paths, ids=str)
def test_whatever_member_is_changed_the_proof_fails(suite: Suite, path: tuple[Any, ...]) -> None:
    document = json.loads(json.dumps(signed(credential(), suite=suite)))
    place = document
    for step in path[:-1]:
        place = place[step]
    other = {"reputationScore": 0.5, "created": "2025-01-01T00:00:00Z", "validFrom": "2025-01-01T00:00:00Z"}
    place[path[-1]] = other.get(path[-1], "urn:x:changed")
    (proof,) = read_proofs(document)
    with pytest.raises(CredentialError):
        check_proof(document, proof, key_of(method_of(ISSUER)))


names, values = st.text(min_size=1, max_size=8), st.text(max_size=8) | st.booleans() | st.integers(-(2**50), 2**50)


@given(st.dictionaries(names, values, max_size=5), st.data())
def test_any_json_verifies_until_a_member_is_taken_away(claims: dict[str, Any], data: st.DataObject) -> None:
    claims.pop("proof", None)
    claims.pop("@context", None)
    document = signed(claims)
    check_all(document)
    if claims:
        del document[data.draw(st.sampled_from(sorted(claims)))]
        with pytest.raises(ProofInvalid):
            check_all(document)


def test_jcs_signs_its_contexts_and_takes_more_behind_them() -> None:
    document = signed(credential())
    assert document["proof"]["@context"] == document["@context"]
    document["@context"] = [*document["@context"], UNDEFINED_TERMS_V2]
    check_all(document)
    document["@context"] = list(reversed(document["@context"]))
    with pytest.raises(ProofInvalid, match="contexts"):
        check_all(document)


def test_rdfc_takes_no_context_that_is_not_kept() -> None:
    document = {**credential(), "@context": ["https://www.w3.org/ns/credentials/v2", "https://example.com/own"]}
    with pytest.raises(ContextUnknown):
        signed(document, suite="eddsa-rdfc-2022")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "Ed25519Signature2020"}, UnsupportedProof),
        ({"cryptosuite": "ecdsa-rdfc-2019"}, UnsupportedProof),
        ({"cryptosuite": None}, UnsupportedProof),
        ({"proofValue": "uAAAA"}, MalformedCredential),
        ({"proofValue": "z0"}, MalformedCredential),
        ({"proofValue": "z" + "1" * 200}, MalformedCredential),
        ({"proofValue": None}, MalformedCredential),
        ({"created": "yesterday"}, MalformedCredential),
        ({"verificationMethod": {"id": "x"}}, MalformedCredential),
        ({"previousProof": ["urn:x"] * 9}, MalformedCredential),
    ],
)
def test_proofs_that_are_not_understood(change: dict[str, Any], error: type[Exception]) -> None:
    document = signed(credential())
    document["proof"] = {**document["proof"], **change}
    with pytest.raises(error):
        read_proofs(document)


def test_without_a_proof_or_with_too_many() -> None:
    with pytest.raises(Unsigned):
        read_proofs(credential())
    document = signed(credential())
    with pytest.raises(MalformedCredential):
        read_proofs({**document, "proof": [document["proof"]] * 9})
    with pytest.raises(MalformedCredential):
        read_proofs({**document, "proof": ["text"]})
    short = {**document, "proof": {**document["proof"], "proofValue": "z3u2"}}
    with pytest.raises(ProofInvalid):
        check_all(short)


def test_only_ed25519_keys_fit_these_suites() -> None:
    document = signed(credential())
    (proof,) = read_proofs(document)
    with pytest.raises(ProofInvalid, match="Ed25519"):
        check_proof(document, proof, VerificationMethod("did:x:1#k", "P-256", b"\x04" + bytes(64)))
