"""Data Integrity 1.0 proofs of the suites eddsa-jcs-2022 and eddsa-rdfc-2022 (Data Integrity EdDSA Cryptosuites 1.0).

What is signed is SHA-256 of the canonical proof options, then SHA-256 of the canonical document. A document may carry
several proofs: independent ones (a proof set) sign the document without any proof; one that names others in
`previousProof` (a proof chain) signs the document with exactly those (Data Integrity 1.0, section 4.6).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from identity import multibase
from identity.credentials import bounds
from identity.credentials.contexts import known_contexts
from identity.credentials.errors import MalformedCredential, ProofInvalid, Unsigned, UnsupportedProof
from identity.credentials.jsonld import Contexts, check_names
from identity.credentials.rdfc import canonical_nquads
from identity.credentials.signatures import check_signature
from identity.credentials.values import as_list, canonical, check_bounds, mapping, objects, text, timestamp
from identity.did import VerificationMethod
from identity.errors import MalformedMultibase

Suite = Literal["eddsa-jcs-2022", "eddsa-rdfc-2022"]
PROOF_TYPE: Final = "DataIntegrityProof"
ASSERTION: Final = "assertionMethod"
AUTHENTICATION: Final = "authentication"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOptions:
    """What a proof says besides its signature. Times are `dateTimeStamp` texts."""

    verification_method: str
    created: str
    suite: Suite = "eddsa-jcs-2022"
    purpose: str = ASSERTION
    expires: str | None = None
    challenge: str | None = None
    domain: str | None = None
    id: str | None = None
    previous: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The proof without its value."""
        members = {
            "id": self.id,
            "type": PROOF_TYPE,
            "cryptosuite": self.suite,
            "created": self.created,
            "expires": self.expires,
            "verificationMethod": self.verification_method,
            "proofPurpose": self.purpose,
            "challenge": self.challenge,
            "domain": self.domain,
            "previousProof": list(self.previous) if len(self.previous) > 1 else "".join(self.previous) or None,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof as it was read. `document` is the proof itself; times are Unix seconds."""

    document: Mapping[str, Any]
    suite: Suite
    verification_method: str
    purpose: str
    created_s: float | None
    expires_s: float | None
    challenge: str | None
    domains: tuple[str, ...]
    id: str | None
    previous: tuple[str, ...]
    signature: bytes


def add_proof(
    document: Mapping[str, Any],
    options: ProofOptions,
    *,
    sign: Callable[[bytes], bytes],
    contexts: Contexts | None = None,
) -> dict[str, Any]:
    """The document with one proof more. `sign` is the Ed25519 signature by the key of the verification method.

    Raises MalformedCredential, ContextUnknown, CredentialTooLarge or GraphTooComplex if it has no canonical form.
    """
    check_bounds(document)
    proof = options.to_json()
    if options.suite == "eddsa-jcs-2022" and "@context" in document:
        proof["@context"] = document["@context"]
    before = objects(document.get("proof"), "proof", bounds.MAX_PROOFS - 1)
    data = hash_data(_signed_part(document, proof, options.previous), proof, options.suite, contexts)
    proof["proofValue"] = multibase.encode("z", sign(data))
    return {**document, "proof": [*before, proof] if before else proof}


def read_proofs(document: Mapping[str, Any]) -> tuple[Proof, ...]:
    """All proofs of a document. Raises Unsigned, UnsupportedProof or MalformedCredential."""
    proofs = objects(document.get("proof"), "proof", bounds.MAX_PROOFS)
    if not proofs:
        raise Unsigned("there is no proof")
    return tuple(_read_proof(proof) for proof in proofs)


def check_proof(
    document: Mapping[str, Any], proof: Proof, method: VerificationMethod, *, contexts: Contexts | None = None
) -> None:
    """Check the signature of one proof by the key that it names; whether that key may sign is not looked at here.

    Raises ProofInvalid, or what has no canonical form.
    """
    if method.curve != "Ed25519":
        raise ProofInvalid(f"{proof.suite} needs an Ed25519 key, this one is on {method.curve}")
    options = {name: value for name, value in proof.document.items() if name != "proofValue"}
    part = _signed_part(document, options, proof.previous)
    check_signature(method, hash_data(part, options, proof.suite, contexts), proof.signature)


def hash_data(
    document: Mapping[str, Any], options: Mapping[str, Any], suite: Suite, contexts: Contexts | None = None
) -> bytes:
    """The 64 bytes that a proof signs: the options are hashed first, then the document."""
    options_form, document_form = canonical_forms(document, options, suite, contexts)
    return hashlib.sha256(options_form).digest() + hashlib.sha256(document_form).digest()


def canonical_forms(
    document: Mapping[str, Any], options: Mapping[str, Any], suite: Suite, contexts: Contexts | None = None
) -> tuple[bytes, bytes]:
    """The proof options and the document as the suite writes them."""
    check_bounds(options)
    if suite == "eddsa-jcs-2022":
        return canonical(options), canonical(document)
    known = known_contexts() if contexts is None else contexts
    for part in (options, document):
        check_names(part)
    options = {**options, "@context": document.get("@context", [])}
    return canonical_nquads(options, known), canonical_nquads(document, known)


def _signed_part(
    document: Mapping[str, Any], options: Mapping[str, Any], previous: tuple[str, ...]
) -> Mapping[str, Any]:
    """The document as this proof signs it: without proofs, or with just those that it builds on."""
    part = {name: value for name, value in document.items() if name != "proof"}
    if previous:
        proofs = objects(document.get("proof"), "proof", bounds.MAX_PROOFS)
        earlier = [proof for proof in proofs if proof.get("id") in previous]
        if {proof["id"] for proof in earlier} != set(previous):
            raise ProofInvalid("a proof builds on another one that is not there")
        part["proof"] = earlier
    if options.get("cryptosuite") == "eddsa-jcs-2022" and "@context" in options:
        # Section 3.3.2: contexts that were added behind the signed ones are no part of what was signed.
        signed, present = as_list(options["@context"]), as_list(document.get("@context"))
        if present[: len(signed)] != signed:
            raise ProofInvalid("the contexts are not those that were signed")
        part["@context"] = options["@context"]
    return part


def _read_proof(proof: Mapping[str, Any]) -> Proof:
    if proof.get("type") != PROOF_TYPE:
        raise UnsupportedProof(f"a proof of type {str(proof.get('type'))[:64]!r}")
    suite = proof.get("cryptosuite")
    if suite not in get_args(Suite):
        raise UnsupportedProof(f"the cryptosuite {str(suite)[:64]!r}")
    value = text(proof.get("proofValue"), "proofValue", bounds.MAX_PROOF_CHARS)
    try:
        if not value.startswith("z"):
            raise MalformedMultibase("not base58btc")
        signature = multibase.decode(value)
    except MalformedMultibase as error:
        raise MalformedCredential("'proofValue' is not multibase base58btc") from error
    previous = [text(one, "previousProof") for one in as_list(proof.get("previousProof"))]
    domains = [text(one, "domain") for one in as_list(proof.get("domain"))]
    if len(previous) > bounds.MAX_PROOFS or len(domains) > bounds.MAX_PROOFS:
        raise MalformedCredential("a proof names too many proofs or domains")
    return Proof(
        document=mapping(proof, "proof"),
        suite=cast(Suite, suite),
        verification_method=text(proof.get("verificationMethod"), "verificationMethod"),
        purpose=text(proof.get("proofPurpose"), "proofPurpose", bounds.MAX_LABEL_CHARS),
        created_s=timestamp(proof["created"], "created") if "created" in proof else None,
        expires_s=timestamp(proof["expires"], "expires") if "expires" in proof else None,
        challenge=text(proof["challenge"], "challenge", bounds.MAX_LABEL_CHARS) if "challenge" in proof else None,
        domains=tuple(domains),
        id=text(proof["id"], "id") if "id" in proof else None,
        previous=tuple(previous),
        signature=signature,
    )
