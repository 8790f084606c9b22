"""Succession: a credential by which a DID says which DID its owner goes on with (`PAGISuccessionCredential`).

Both keys sign the same document (VCDM 2.0, eddsa-jcs-2022, a proof set): the old one gives the name away, and the new
one takes it. With the old signature alone anybody could make somebody else the heir of its own bad name.

Pure: whether to follow a succession is decided by whoever reads it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V2, PAGI_V1
from identity.credentials.data_integrity import ASSERTION, Proof, ProofOptions, add_proof, check_proof, read_proofs
from identity.credentials.errors import CredentialError
from identity.credentials.schemas import schema_url
from identity.credentials.values import as_list, check_bounds, time_text, timestamp
from identity.did import Did, did_key, did_of_url, parse_did, resolve_did_key
from identity.errors import IdentityError, SuccessionRefused
from identity.keys import KeyPair

TYPE: Final = "PAGISuccessionCredential"

_SUITE: Final = "eddsa-jcs-2022"


@dataclass(frozen=True, slots=True)
class Succession:
    """What a verified credential says. `credential` is the document itself, `issued_s` Unix seconds."""

    old: Did
    new: Did
    id: str
    issued_s: int
    credential: Mapping[str, Any]


def make_succession(*, old: KeyPair, new: KeyPair, now_s: int) -> dict[str, Any]:
    """The credential by which the key `new` takes the place of `old`. The one use of both at once."""
    old_did, new_did = did_key(old.public), did_key(new.public)
    document: dict[str, Any] = {
        "@context": [CREDENTIALS_V2, PAGI_V1],
        "id": f"urn:uuid:{uuid.uuid4()}",
        "type": ["VerifiableCredential", TYPE],
        "issuer": old_did,
        "validFrom": time_text(now_s),
        "credentialSubject": {"id": old_did, "successor": new_did},
        "credentialSchema": {"id": schema_url(TYPE), "type": "JsonSchema"},
    }
    for keys, did in ((old, old_did), (new, new_did)):
        method = resolve_did_key(did).authentication[0].id
        options = ProofOptions(verification_method=method, created=time_text(now_s))
        document = add_proof(document, options, sign=keys.sign)
    return document


def read_succession(document: object, *, now_s: int) -> Succession:
    """Verify a succession: its form, its time, and the proofs of both keys. Raises SuccessionRefused."""
    try:
        return _read(document, now_s)
    except CredentialError as error:
        raise SuccessionRefused(f"the succession's credential is refused: {error}") from error


def _read(document: object, now_s: int) -> Succession:
    if not isinstance(document, dict):
        raise SuccessionRefused("a succession is a credential")
    check_bounds(document)
    subject = document.get("credentialSubject")
    if TYPE not in as_list(document.get("type")) or not isinstance(subject, dict):
        raise SuccessionRefused(f"the credential is no {TYPE}")
    old, new = _did(subject.get("id")), _did(subject.get("successor"))
    if document.get("issuer") != old or old == new:
        raise SuccessionRefused("only a DID itself can say who comes after it")
    issued_s = timestamp(document.get("validFrom"), "validFrom")
    ends_s = timestamp(document["validUntil"], "validUntil") if "validUntil" in document else None
    if issued_s > now_s + bounds.CLOCK_SKEW_S or (ends_s is not None and ends_s < now_s - bounds.CLOCK_SKEW_S):
        raise SuccessionRefused("the succession is not valid now")
    proofs = read_proofs(document)
    for did in (old, new):
        _check(document, proofs, did)
    identifier = document.get("id")
    if not isinstance(identifier, str) or not 1 <= len(identifier) <= 256:
        raise SuccessionRefused("the succession has no id")
    return Succession(old, new, identifier, int(issued_s), document)


def _check(document: Mapping[str, Any], proofs: tuple[Proof, ...], did: Did) -> None:
    """Check that `did` itself signed the document."""
    for proof in proofs:
        method = proof.verification_method
        if method.partition("#")[0] != did:
            continue
        keys = {key.id: key for key in resolve_did_key(did_of_url(method)).authentication}
        if proof.suite != _SUITE or proof.purpose != ASSERTION or method not in keys:
            raise SuccessionRefused(f"the proof of {did} is none that gives a name away or takes it")
        check_proof(document, proof, keys[method])
        return
    raise SuccessionRefused(f"{did} did not sign the succession")


def _did(value: object) -> Did:
    """A did:key: the only kind of name whose key can be replaced by another name."""
    try:
        did = parse_did(value) if isinstance(value, str) else None
        if did is None or not resolve_did_key(did).authentication:
            raise SuccessionRefused("a succession names two DIDs that sign")
    except SuccessionRefused:
        raise
    except IdentityError as error:
        raise SuccessionRefused(f"a succession names two did:key: {error}") from error
    return did
