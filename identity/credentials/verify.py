"""Checking a credential or a presentation: every check by its name, so that a person can see what holds and what not.

Each check runs, whatever the others found, as far as it can. The rule for several proofs: every proof must be one that
is understood, with a good signature by a key that its DID lists for the proof's purpose; at least one of them must be
the issuer's (the holder's) own. What cannot be checked counts as failed.

DID documents, status lists and schemas come through functions of the caller; nothing else is ever asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from identity.credentials import status_list
from identity.credentials.data_integrity import ASSERTION, AUTHENTICATION, check_proof, read_proofs
from identity.credentials.errors import (
    CredentialRevoked,
    MalformedCredential,
    StatusListForeign,
    StatusListMalformed,
    Unavailable,
    WrongHolder,
    WrongIssuer,
)
from identity.credentials.jose import Jwt, check_jwt, read_jwt
from identity.credentials.jsonld import Contexts
from identity.credentials.report import Outcome, Report
from identity.credentials.schemas import OURS, check_schema, is_ours, schema_url
from identity.credentials.signers import (
    Signature,
    check_challenge,
    check_domain,
    check_purpose,
    check_signature_times,
    check_signer,
    check_time,
    did_part,
    find_key,
    named_signer,
)
from identity.credentials.values import check_bounds, read_json
from identity.credentials.vcdm import (
    Credential,
    Presentation,
    check_contexts,
    is_presentation,
    out_of_envelope,
    read_credential,
    read_presentation,
)
from identity.did import Did, DidDocument, did_of_url

Resolve = Callable[[Did], Awaitable[DidDocument]]
"""A DID's document. Raises PagiError."""

Fetch = Callable[[str], Awaitable[bytes]]
"""What stands at a URL, bounded by the caller. Raises PagiError."""

Value = Mapping[str, Any] | str | bytes
"""A credential or presentation: a JSON document, parsed or not, or a JWT."""

INVALIDATING: Final = ("revocation", "suspension")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Checks credentials with these sources. `trusted_status_issuers` may sign status lists for others."""

    resolve: Resolve
    fetch_status: Fetch | None = None
    fetch_schema: Fetch | None = None
    contexts: Contexts | None = None
    trusted_status_issuers: Collection[str] = ()

    async def verify(
        self, value: Value, *, now_s: float, challenge: str | None = None, domain: str | None = None
    ) -> Outcome:
        """Check a credential or a presentation; `challenge` and `domain` are what the presentation must answer."""
        report = Report()
        document: dict[str, Any] | None = None
        with report.checking("parse") as detail:
            document, jwt = _read(value)
            presentation = read_presentation(document) if is_presentation(document) else None
            credential = read_credential(document) if presentation is None else None
            detail.append("a presentation" if presentation else "a credential")
        if report.errors or document is None:
            return report.outcome(None)
        if presentation is not None:
            await self._check_presentation(presentation, jwt, report, now_s, challenge, domain)
        elif credential is not None:
            await self._check_signed(credential, jwt, report, now_s)
            await self._check_status(credential, report, now_s)
            await self._check_schema(credential, report)
        return report.outcome(document)

    async def _check_signed(self, credential: Credential, jwt: Jwt | None, report: Report, now_s: float) -> None:
        """The checks from the context to the times, which a status list has to pass too."""
        with report.checking("context") as detail:
            check_contexts(credential.document, self.contexts)
            detail.append(f"VCDM {credential.version}")
        signatures, documents = await self._check_signatures(credential.document, jwt, ASSERTION, report)
        with report.checking("issuer") as detail:
            check_signer(credential.issuer, signatures, "issuer")
            detail.append(credential.issuer)
        check_purpose(signatures, documents, credential.issuer, ASSERTION, report)
        with report.checking("times") as detail:
            check_time(now_s, credential.valid_from_s, credential.valid_until_s)
            check_signature_times(now_s, signatures, jwt)
            detail.append("no end" if credential.valid_until_s is None else "not expired")

    async def _check_presentation(
        self,
        presentation: Presentation,
        jwt: Jwt | None,
        report: Report,
        now_s: float,
        challenge: str | None,
        domain: str | None,
    ) -> None:
        document = presentation.document
        with report.checking("context") as detail:
            check_contexts(document, self.contexts)
            detail.append(f"VCDM {presentation.version}")
        signatures, documents = await self._check_signatures(document, jwt, AUTHENTICATION, report)
        holder = presentation.holder or next((did_part(one.method) for one in signatures), "")
        with report.checking("holder") as detail:
            check_signer(holder, signatures, "holder")
            detail.append(holder)
        check_purpose(signatures, documents, holder, AUTHENTICATION, report)
        with report.checking("times"):
            check_signature_times(now_s, signatures, jwt)
        own = [one for one in signatures if did_part(one.method) == holder]
        with report.checking("challenge") as detail:
            detail.append(check_challenge(own, challenge))
        with report.checking("domain") as detail:
            detail.append(check_domain(own, domain))
        for number, presented in enumerate(presentation.credentials):
            await self._check_presented(presented, holder, report.below(f"credentials.{number}."), now_s)

    async def _check_presented(
        self, presented: Mapping[str, Any] | str, holder: str, report: Report, now_s: float
    ) -> None:
        failed = len(report.errors)
        with report.checking("parse"):
            document, jwt = _read(presented)
            credential = read_credential(document)
        if len(report.errors) > failed:
            return
        await self._check_signed(credential, jwt, report, now_s)
        await self._check_status(credential, report, now_s)
        await self._check_schema(credential, report)
        with report.checking("binding") as detail:
            named = [subject for subject in credential.subjects if subject is not None]
            if named and holder not in named:
                raise WrongHolder(f"it is about {named[0][:120]}, and {holder[:120]} presents it")
            detail.append("the holder is its subject" if named else "it is about whoever holds it")

    async def _check_signatures(
        self, document: Mapping[str, Any], jwt: Jwt | None, purpose: str, report: Report
    ) -> tuple[list[Signature], dict[str, DidDocument]]:
        """All signatures, and the documents of the DIDs that made them, as far as they could be had."""
        signatures: list[Signature] = []
        documents: dict[str, DidDocument] = {}
        with report.checking("signature") as detail:
            signatures = [await self._of_jwt(jwt, purpose)] if jwt else self._of_proofs(document)
            for one in signatures:
                did = did_of_url(one.method.partition("?")[0])
                documents[did] = await self.resolve(did)
                method = find_key(documents[did], one.method)
                if method is None:
                    raise WrongIssuer(f"{did[:120]} has no key {one.method[-60:]!r}")
                await asyncio.sleep(0)  # A check may take 50 ms, and there may be a hundred: others have their turn.
                one.check(method)
                detail.append(f"{one.label} by {one.method}")
        return signatures, documents

    def _of_proofs(self, document: Mapping[str, Any]) -> list[Signature]:
        return [
            Signature(
                method=proof.verification_method,
                purpose=proof.purpose,
                check=lambda method, proof=proof: check_proof(document, proof, method, contexts=self.contexts),  # type: ignore[misc]
                label=proof.suite,
                created_s=proof.created_s,
                expires_s=proof.expires_s,
                challenge=proof.challenge,
                domains=proof.domains,
            )
            for proof in read_proofs(document)
        ]

    async def _of_jwt(self, jwt: Jwt, purpose: str) -> Signature:
        """A JWT without a key id names its key if its issuer has only one for the purpose."""
        method = jwt.method
        if method is None:
            signer = jwt.issuer or named_signer(jwt.document)
            document = await self.resolve(did_of_url(signer))
            listed = document.assertion if purpose == ASSERTION else document.authentication
            if len(listed) != 1:
                raise WrongIssuer("the JWT does not say which key signed it")
            method = listed[0].id
        return Signature(
            method=method,
            purpose=purpose,
            check=lambda key: check_jwt(jwt, key),
            label=f"JWT {jwt.algorithm}",
            challenge=jwt.nonce,
            domains=jwt.audience,
        )

    async def _check_status(self, credential: Credential, report: Report, now_s: float) -> None:
        with report.checking("status") as detail:
            if not credential.statuses:
                detail.append("its issuer cannot revoke it")
            for status in credential.statuses:
                entry = status_list.read_entry(status)
                value = await self._status_value(credential, entry, now_s)
                if value and entry.purpose in INVALIDATING:
                    raise CredentialRevoked(f"the issuer has set its {entry.purpose}")
                found = (entry.messages or {}).get(value)
                detail.append(f"{entry.purpose}: {found or value or 'not set'}")

    async def _status_value(self, credential: Credential, entry: status_list.StatusEntry, now_s: float) -> int:
        """Look the entry up in its list, once the list itself has passed. Raises PagiError."""
        if self.fetch_status is None:
            raise Unavailable("status lists cannot be fetched here")
        document, jwt = _read(await self.fetch_status(entry.list_url))
        listing = read_credential(document)
        if listing.issuer != credential.issuer and listing.issuer not in self.trusted_status_issuers:
            raise StatusListForeign(f"the status list is by {listing.issuer[:120]}")
        if listing.id is not None and listing.id != entry.list_url:
            raise StatusListMalformed("another status list than the credential names")
        report = Report()
        await self._check_signed(listing, jwt, report, now_s)
        if report.errors:
            raise report.errors[0]
        return status_list.value_at(status_list.read_list(document, entry.purpose), entry.index, entry.size)

    async def _check_schema(self, credential: Credential, report: Report) -> None:
        with report.checking("schema") as detail:
            urls = [str(schema_url(kind)) for kind in credential.types if kind in OURS]
            for schema in credential.schemas:
                url = str(schema.get("id"))
                if schema.get("type") != "JsonSchema":
                    detail.append("one of a type that is not understood here was left out")
                elif url not in urls:
                    urls.append(url)
            for url in urls:
                check_schema(credential.document, url, None if is_ours(url) else await self._schema(url))
            detail.append(", ".join(urls) or "it names none")

    async def _schema(self, url: str) -> bytes:
        if self.fetch_schema is None:
            raise Unavailable("schemas cannot be fetched here")
        return await self.fetch_schema(url)


def _read(value: Value) -> tuple[dict[str, Any], Jwt | None]:
    """The document, and the JWT around it if there is one."""
    if isinstance(value, Mapping):
        return _opened(dict(value))
    try:
        text = (value.decode() if isinstance(value, bytes) else value).strip()
    except UnicodeDecodeError as error:
        raise MalformedCredential("neither JSON nor a JWT") from error
    if text.startswith("{"):
        document = read_json(text)
        assert isinstance(document, dict)
        return _opened(document)
    jwt = read_jwt(text)
    return jwt.document, jwt


def _opened(document: dict[str, Any]) -> tuple[dict[str, Any], Jwt | None]:
    """A credential out of its envelope (VCDM 2.0, section 4.13)."""
    check_bounds(document)
    inner = out_of_envelope(document)
    if isinstance(inner, str):
        jwt = read_jwt(inner)
        return jwt.document, jwt
    return document, None
