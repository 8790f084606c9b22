"""The `from_prior` header: a JWT in which a DID names the one that takes its place (DIDComm v2.1, "DID Rotation").

What a rotation means for what we know of the old DID is for others to decide. A JWT without `sub`, which ends a
relationship, is refused: it comes without an author, and nothing that nobody wrote is taken.
"""

from dataclasses import dataclass
from typing import Final

import orjson

from identity.did import Did
from identity.keys import SIGNATURE_BYTES
from identity.multibase import base64url
from protocols.didcomm.author import Author
from protocols.didcomm.jose import Json, as_object, binary, key_id, protected_header
from protocols.didcomm.jws import check, curve_of
from protocols.didcomm.opening import Unpacked
from protocols.didcomm.resolving import Resolve, document_of, public_key
from protocols.errors import ClockSkew, Expired, LocalProtocolError, MalformedMessage, SenderMismatch
from protocols.fields import did, integer
from protocols.jsonguard import parse_json
from protocols.limits import CLOCK_SKEW_S, MAX_FROM_PRIOR_CHARS, MAX_JSON_DEPTH

_TYPS: Final = ("JWT", "jwt")


@dataclass(frozen=True, slots=True)
class FromPrior:
    """`old_did` says that it is `new_did` from `iat` on, in seconds since 1970; nobody is to take it after `exp`."""

    old_did: Did
    new_did: Did
    iat: int
    exp: int | None = None


def make_from_prior(*, old: Author, new_did: Did, iat: int) -> str:
    """The JWT, signed by the old DID. `iat` is the time of the rotation, not that of the message."""
    if new_did == old.did:
        raise LocalProtocolError("a DID does not take its own place")
    header = orjson.dumps({"typ": "JWT", "alg": "EdDSA", "kid": old.signing_kid})
    claims = orjson.dumps({"iss": old.did, "sub": new_did, "iat": iat})
    signed = f"{base64url(header)}.{base64url(claims)}"
    return f"{signed}.{base64url(old.sign(signed.encode()))}"


def read_from_prior(jwt: str, *, resolve: Resolve) -> FromPrior:
    """Check the JWT: its signature is by a key in the old DID's `authentication`. Times are not checked here.

    Raises MalformedMessage, UnsupportedAlgorithm, SenderMismatch, UnresolvableKey, ForgedSignature, or NotResolvedYet.
    """
    if len(jwt) > MAX_FROM_PRIOR_CHARS or jwt.count(".") != 2:
        raise MalformedMessage("`from_prior` is not a JWT")
    parts = dict(zip(("protected", "claims", "signature"), jwt.split("."), strict=True))
    header = protected_header(parts, typs=_TYPS)
    claims = parse_json(binary(parts, "claims"), max_bytes=MAX_FROM_PRIOR_CHARS, max_depth=MAX_JSON_DEPTH)
    curve, kid = curve_of(header), key_id(header)
    found = _claims(as_object(claims, "`from_prior`"))
    if kid.partition("#")[0] != found.old_did:
        raise SenderMismatch("`from_prior` is not signed by the DID that it speaks for")
    public = public_key(kid, curve, document_of(kid, resolve).authentication)
    signed = jwt.rpartition(".")[0].encode()
    check(binary(parts, "signature", SIGNATURE_BYTES), signed, curve=curve, public=public)
    return found


def rotation_of(unpacked: Unpacked, *, resolve: Resolve, now_s: int) -> FromPrior | None:
    """What a message says about the DID that its author had before; None if it says nothing.

    Raises as `read_from_prior`; SenderMismatch if the message is not encrypted, or not from the DID that is named as
    the successor; ClockSkew or Expired.
    """
    if unpacked.message.from_prior is None:
        return None
    if not unpacked.encrypted:
        raise SenderMismatch("`from_prior` stands in an encrypted message only")
    found = read_from_prior(unpacked.message.from_prior, resolve=resolve)
    if found.new_did != unpacked.author:
        raise SenderMismatch("`from_prior` names another successor than the message's author")
    if found.iat > now_s + CLOCK_SKEW_S:
        raise ClockSkew(f"a rotation {found.iat - now_s} s in the future")
    if found.exp is not None and found.exp <= now_s:
        raise Expired(f"`from_prior` expired {now_s - found.exp} s ago")
    return found


def _claims(claims: Json) -> FromPrior:
    found = FromPrior(
        old_did=did(claims.get("iss"), "iss"),
        new_did=did(claims.get("sub"), "sub"),
        iat=integer(claims.get("iat"), "iat", 0),
        exp=None if claims.get("exp") is None else integer(claims["exp"], "exp", 0),
    )
    if found.old_did == found.new_did:
        raise MalformedMessage("in `from_prior` a DID takes its own place")
    return found
