"""VCDM 1.1 with its old signature suites, through didkit: Ed25519Signature2018 and 2020, and JWT on issuing.

An optional extra, loaded when it is first needed. didkit would resolve DIDs over the network by itself, so only issuers
whose DID is their key (`did:key`) are given to it; it never fetches contexts. It checks the signature; who may sign,
and when, is checked here as for every other credential.
"""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, Literal, get_args

import orjson

from identity.credentials.contexts import CREDENTIALS_V1
from identity.credentials.data_integrity import ASSERTION
from identity.credentials.errors import ClaimsRefused, MalformedCredential, ProofInvalid, UnsupportedProof, WrongIssuer
from identity.credentials.jsonld import check_names
from identity.credentials.report import Outcome, Report
from identity.credentials.signers import check_time, did_part
from identity.credentials.values import as_list, mapping, text, time_text
from identity.credentials.vcdm import VC, read_credential
from identity.did import did_key, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import base64url
from node.credentials.errors import DidkitMissing

LegacySuite = Literal["Ed25519Signature2018", "Ed25519Signature2020", "jwt-vc-1.1"]

_TERMS: Final = {"@vocab": "https://pagi.ai/ns/credentials#"}
"""didkit keeps no context of ours, so the claims' terms are defined in the credential itself."""

_PROOFS: Final = get_args(LegacySuite)[:2]


def is_legacy(document: object) -> bool:
    """Whether a document has a proof of a suite that only didkit reads."""
    return isinstance(document, dict) and any(
        isinstance(proof, dict) and proof.get("type") in _PROOFS for proof in as_list(document.get("proof"))
    )


async def issue(
    keys: KeyPair,
    *,
    suite: LegacySuite,
    kind: str,
    subject: str,
    claims: Mapping[str, Any],
    credential_id: str,
    now_s: float,
    valid_until_s: float | None,
) -> str:
    """A signed credential of VCDM 1.1: a JSON document, or a JWT. Raises DidkitMissing or ClaimsRefused."""
    didkit = _didkit()
    did = did_key(keys.public)
    is_jwt = suite == "jwt-vc-1.1"
    document: dict[str, Any] = {
        "@context": [CREDENTIALS_V1] if is_jwt else [CREDENTIALS_V1, _TERMS],
        "id": credential_id,
        "type": ["VerifiableCredential", kind],
        "issuer": did,
        "issuanceDate": time_text(now_s),
        "credentialSubject": {"id": subject, **claims},
    }
    if valid_until_s is not None:
        document["expirationDate"] = time_text(valid_until_s)
    read_credential(document)
    options = {
        "proofPurpose": ASSERTION,
        "verificationMethod": resolve_did_key(did).authentication[0].id,
        **({"proofFormat": "jwt"} if is_jwt else {"type": suite, "created": time_text(now_s)}),
    }
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(keys.public), "d": base64url(keys.seed)}
    try:
        return str(await didkit.issue_credential(json.dumps(document), json.dumps(options), json.dumps(jwk)))
    except (didkit.DIDKitException, ValueError) as error:  # the latter for what it cannot even read
        raise ClaimsRefused(f"didkit cannot sign these claims: {str(error)[:200]}") from error


async def verify(document: Mapping[str, Any], *, now_s: float) -> Outcome:
    """Check a credential with a proof of an old suite."""
    report = Report()
    with report.checking("parse") as detail:
        credential = read_credential(document)
        detail.append(f"a credential of VCDM {credential.version}")
    if report.errors:
        return report.outcome(None)
    with report.checking("context"):
        # didkit refuses every URL that it does not keep; what is defined inside could give members another meaning.
        contexts = as_list(document.get("@context"))
        if not all(isinstance(one, str) or one == _TERMS for one in contexts):
            raise MalformedCredential("a context defined in the document could give its members another meaning")
        check_names(document)
        if _TERMS not in contexts and any(kind != VC for kind in credential.types):
            raise MalformedCredential("a type that no context defines would not be signed")
    proofs = [mapping(proof, "proof") for proof in as_list(document.get("proof")) if isinstance(proof, dict)]
    signers: list[str] = []
    with report.checking("signature") as detail:
        if len(proofs) != 1:
            raise UnsupportedProof("several proofs, one of them of an old suite")
        signers.append(text(proofs[0].get("verificationMethod"), "verificationMethod"))
        if not signers[0].startswith("did:key:"):
            raise UnsupportedProof("of the old suites only proofs by a did:key are read")
        await _check_proof(document)
        detail.append(f"{proofs[0]['type']} by {signers[0]}, through didkit")
    with report.checking("issuer") as detail:
        if not signers or did_part(signers[0]) != credential.issuer:
            raise WrongIssuer(f"the issuer is {credential.issuer[:120]}, and did not sign")
        detail.append(credential.issuer)
    with report.checking("purpose") as detail:
        if any(proof.get("proofPurpose") != ASSERTION for proof in proofs):
            raise WrongIssuer(f"the proof is not for {ASSERTION!r}")
        detail.append(ASSERTION)
    with report.checking("times"):
        check_time(now_s, credential.valid_from_s, credential.valid_until_s)
    with report.checking("status") as detail:
        if credential.statuses:
            raise UnsupportedProof("the status of credentials with old suites is not looked up")
        detail.append("its issuer cannot revoke it")
    return report.outcome(document)


async def _check_proof(document: Mapping[str, Any]) -> None:
    didkit = _didkit()
    try:
        found = orjson.loads(await didkit.verify_credential(json.dumps(document), json.dumps({"checks": ["proof"]})))
    except (didkit.DIDKitException, ValueError) as error:
        raise ProofInvalid(f"didkit cannot check it: {str(error)[:200]}") from error
    if found.get("errors") or "proof" not in found.get("checks", ()):
        raise ProofInvalid(f"didkit refuses it: {str((found.get('errors') or ['no proof'])[0])[:200]}")


def _didkit() -> ModuleType:
    try:
        import didkit
    except ImportError as error:
        raise DidkitMissing("VCDM 1.1 with this signature suite needs didkit") from error
    module: ModuleType = didkit
    return module
