"""Credentials and presentations as JWT: VC-JOSE-COSE 1.0 (`vc+jwt`, `vp+jwt`), and the claims `vc`, `vp` of VCDM 1.1.

Only read here: what this twin makes carries Data Integrity proofs. The algorithm "none" is refused, and so is every
critical header, because none is understood.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V1
from identity.credentials.errors import (
    CredentialTooLarge,
    MalformedCredential,
    ProofInvalid,
    Unsigned,
    UnsupportedProof,
)
from identity.credentials.signatures import ALGORITHMS, check_signature
from identity.credentials.values import mapping, read_json, text, time_text
from identity.did import VerificationMethod
from identity.errors import MalformedMultibase
from identity.multibase import from_base64url

_TYPES: Final = frozenset({"vc+jwt", "vp+jwt", "jwt", "vc+ld+json+jwt", "vp+ld+json+jwt", "vc-ld+jwt", "vp-ld+jwt"})
"""What `typ` may say: VC-JOSE-COSE 1.0, what its drafts said, and plain JWT of VCDM 1.1."""

MAX_TIME_S: Final = 253_402_300_799
"""The last second of the year 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """A JWT as it was read; its signature is not checked yet. `document` is the credential or presentation in it."""

    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]
    document: dict[str, Any]
    not_before_s: float | None
    expires_s: float | None
    nonce: str | None
    audience: tuple[str, ...]
    signed: bytes
    signature: bytes

    @property
    def issuer(self) -> str | None:
        """Who it says has signed it."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else None

    @property
    def method(self) -> str | None:
        """The DID URL of the key: `kid`, made absolute by `iss` where it is only a fragment."""
        if self.kid is not None and self.kid.startswith("#") and self.issuer is not None:
            return self.issuer + self.kid
        return self.kid if self.kid is not None and self.kid.startswith("did:") else None


def read_jwt(token: str) -> Jwt:
    """Read a JWT of three parts. Raises CredentialTooLarge, MalformedCredential, UnsupportedProof, or Unsigned for the
    algorithm "none"."""
    if len(token) > bounds.MAX_CREDENTIAL_BYTES:
        raise CredentialTooLarge(f"a JWT of {len(token)} characters; {bounds.MAX_CREDENTIAL_BYTES} are allowed")
    parts = token.split(".")
    if len(parts) != 3:
        raise MalformedCredential("not a JWT of three parts")
    try:
        header_bytes, payload, signature = (from_base64url(part) for part in parts)
    except MalformedMultibase as error:
        raise MalformedCredential("a JWT with a part that is not base64url") from error
    header = _header(header_bytes)
    claims = mapping(read_json(payload), "claims")
    document = _document(claims)
    return Jwt(
        algorithm=header["alg"],
        kid=text(header["kid"], "kid") if "kid" in header else None,
        claims=claims,
        document=document,
        not_before_s=_time(claims, "nbf"),
        expires_s=_time(claims, "exp"),
        nonce=text(claims["nonce"], "nonce", bounds.MAX_LABEL_CHARS) if "nonce" in claims else None,
        audience=_audience(claims),
        signed=f"{parts[0]}.{parts[1]}".encode(),
        signature=signature,
    )


def check_jwt(jwt: Jwt, method: VerificationMethod) -> None:
    """Check the signature by the key of `method`. Raises ProofInvalid, also if the key is on another curve."""
    if ALGORITHMS[jwt.algorithm] != method.curve:
        raise ProofInvalid(f"{jwt.algorithm} is not signed with a key on {method.curve}")
    check_signature(method, jwt.signed, jwt.signature)


def _header(data: bytes) -> dict[str, Any]:
    if len(data) > bounds.MAX_JWT_HEADER_BYTES:
        raise CredentialTooLarge("a JWT header of that size")
    try:
        header = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedCredential("the header of the JWT is not JSON") from error
    header = mapping(header, "header")
    algorithm = header.get("alg")
    if isinstance(algorithm, str) and algorithm.lower() == "none":
        raise Unsigned('the algorithm is "none": nobody has signed it')
    if algorithm not in ALGORITHMS:
        raise UnsupportedProof(f"the algorithm {str(algorithm)[:32]!r}")
    if "crit" in header or header.get("b64") is False:
        raise UnsupportedProof("a critical header that is not understood")
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES):
        raise UnsupportedProof(f"a JWT of type {str(kind)[:32]!r}")
    return header


def _document(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The credential or presentation in the claims, with those claims that repeat a member of it checked against it."""
    inner = claims.get("vc", claims.get("vp"))
    if inner is None:
        document = dict(claims)
        _agree(document, "id", claims.get("jti"))
        _agree(document, "issuer" if "issuer" in document else "holder", claims.get("iss"))
        return document
    document = dict(mapping(inner, "vc"))
    document.setdefault("@context", [CREDENTIALS_V1])
    issuer = "issuer" if "vc" in claims else "holder"
    for name, claim in (("id", "jti"), (issuer, "iss")):
        if claims.get(claim) is not None:
            document.setdefault(name, claims[claim])
            _agree(document, name, claims[claim])
    if "vc" in claims:
        _fill_credential(document, claims)
    return document


def _fill_credential(document: dict[str, Any], claims: Mapping[str, Any]) -> None:
    """What VCDM 1.1, section 6.3.1, moves out of a credential into registered claims."""
    subject = document.get("credentialSubject")
    if isinstance(claims.get("sub"), str) and isinstance(subject, dict):
        document["credentialSubject"] = {"id": claims["sub"], **subject}
        _agree(document["credentialSubject"], "id", claims["sub"])
    for name, claim in (("issuanceDate", "nbf"), ("expirationDate", "exp")):
        seconds = _time(claims, claim)
        if seconds is not None:
            document.setdefault(name, time_text(seconds))


def _agree(document: Mapping[str, Any], name: str, claim: Any) -> None:
    member = document.get(name)
    if isinstance(member, dict):
        member = member.get("id")
    if claim is not None and member is not None and member != claim:
        raise MalformedCredential(f"the claims of the JWT contradict {name!r} of what is in it")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_TIME_S:
        raise MalformedCredential(f"{name!r} is not a time in seconds")
    return float(value)


def _audience(claims: Mapping[str, Any]) -> tuple[str, ...]:
    value = claims.get("aud", [])
    listed = value if isinstance(value, list) else [value]
    if len(listed) > bounds.MAX_PROOFS:
        raise MalformedCredential("'aud' names too many")
    return tuple(text(one, "aud") for one in listed)
