"""Who signed, with which key, for what and when: the rules that a proof has to keep besides its signature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from identity.credentials import bounds
from identity.credentials.data_integrity import ASSERTION, AUTHENTICATION
from identity.credentials.errors import (
    ChallengeMismatch,
    CredentialExpired,
    DomainMismatch,
    NotYetValid,
    WrongHolder,
    WrongIssuer,
)
from identity.credentials.jose import Jwt
from identity.credentials.report import Report
from identity.did import DidDocument, VerificationMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature: the DID URL of its key, what checks it by that key, and what it says of itself."""

    method: str
    purpose: str
    check: Callable[[VerificationMethod], None]
    label: str
    created_s: float | None = None
    expires_s: float | None = None
    challenge: str | None = None
    domains: tuple[str, ...] = ()


def find_key(document: DidDocument, method: str) -> VerificationMethod | None:
    listed = (*document.assertion, *document.authentication)
    return next((one for one in listed if one.id == method), None)


def did_part(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


def named_signer(document: Mapping[str, Any]) -> str:
    issuer = document.get("issuer", document.get("holder"))
    return str(issuer.get("id") if isinstance(issuer, dict) else issuer)


def check_signer(who: str, signatures: list[Signature], role: str) -> None:
    if not any(did_part(one.method) == who for one in signatures):
        signer = did_part(signatures[0].method)[:120] if signatures else "nobody"
        raise (WrongIssuer if role == "issuer" else WrongHolder)(f"signed by {signer}; the {role} is {who[:120]}")


def check_purpose(
    signatures: list[Signature], documents: Mapping[str, DidDocument], who: str, wanted: str, report: Report
) -> None:
    """Each key is listed for the purpose that its proof claims, and the issuer's (holder's) proof claims this one."""
    with report.checking("purpose") as detail:
        if not signatures:
            raise WrongIssuer("there is no signature to look at")
        for one in signatures:
            if did_part(one.method) == who and one.purpose != wanted:
                raise WrongIssuer(f"the proof is for {one.purpose[:64]!r}, not for {wanted!r}")
            document = documents.get(did_part(one.method))
            lists = {ASSERTION: document.assertion, AUTHENTICATION: document.authentication} if document else {}
            if all(method.id != one.method for method in lists.get(one.purpose, ())):
                raise WrongIssuer(f"the key {one.method[-60:]!r} is not one for {one.purpose[:64]!r}")
        detail.append(wanted)


def check_time(now_s: float, first_s: float | None, last_s: float | None) -> None:
    if first_s is not None and first_s > now_s + bounds.CLOCK_SKEW_S:
        raise NotYetValid(f"it is valid in {int(first_s - now_s)} seconds")
    if last_s is not None and last_s < now_s:
        raise CredentialExpired(f"it expired {int(now_s - last_s)} seconds ago")


def check_signature_times(now_s: float, signatures: list[Signature], jwt: Jwt | None) -> None:
    for one in signatures:
        check_time(now_s, one.created_s, one.expires_s)
    if jwt is not None:
        check_time(now_s, jwt.not_before_s, jwt.expires_s)


def check_challenge(own: list[Signature], challenge: str | None) -> str:
    if challenge is None:
        return "none was asked for"
    if not any(one.challenge == challenge for one in own):
        raise ChallengeMismatch("the presentation does not answer this challenge")
    return "answered"


def check_domain(own: list[Signature], domain: str | None) -> str:
    if domain is None:
        return "none was asked for"
    if not any(domain in one.domains for one in own):
        raise DomainMismatch("the presentation was not made for this domain")
    return domain
