"""Verifiable credentials: issue, verify, list, import, revoke, present."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast, get_args

import orjson
from pydantic import Field

from identity.credentials.bounds import MAX_LABEL_CHARS, MAX_PRESENTED, MAX_URI_CHARS
from identity.credentials.data_integrity import Suite
from identity.credentials.schemas import REPUTATION
from identity.did import parse_did
from node.api.errors import InvalidRequest
from node.api.router import Routes
from node.api.wire import JsonObject, PageQuery, Wire, page
from node.clock import rfc3339
from node.credentials.vc11 import LegacySuite
from node.twin import Twin
from storage.credentials import CredentialRow

routes = Routes("credentials")

Uri = Annotated[str, Field(min_length=1, max_length=MAX_URI_CHARS)]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)]
TypeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,63}$")]
Signed = JsonObject | Annotated[str, Field(min_length=1, max_length=256 * 1024)]
"""A credential or presentation: a JSON document, or a JWT as text."""


class Issue(Wire):
    """`subject` is a DID, or `me`. Without claims a PAGIReputationCredential says what this twin saw itself. A type
    that is not ours may name `contexts` that this twin keeps; without any its claims are undefined terms of VCDM 2.0.
    The last three suites are VCDM 1.1 through didkit, and not revocable."""

    type: TypeName
    subject: Uri
    claims: JsonObject = Field(default_factory=dict)
    valid_for_s: Annotated[int, Field(ge=1, le=3_155_760_000)] | None = None
    evidence: Annotated[list[JsonObject], Field(max_length=32)] | None = None
    id: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$", max_length=MAX_LABEL_CHARS)] | None = None
    suite: Suite | LegacySuite = "eddsa-jcs-2022"
    contexts: Annotated[list[Uri], Field(max_length=4)] | None = None


class ToVerify(Wire):
    """Exactly one of `credential` and `presentation`. A presentation should answer a `challenge` of the verifier's."""

    credential: Signed | None = None
    presentation: Signed | None = None
    challenge: Label | None = None
    domain: Label | None = None


class CheckOut(Wire):
    name: str
    ok: bool
    detail: str


class ErrorOut(Wire):
    code: int
    detail: str
    hint: str


class Verdict(Wire):
    """Valid only if every check is."""

    valid: bool
    checks: list[CheckOut]
    errors: list[ErrorOut]


class ToImport(Wire):
    credential: Signed


class ToPresent(Wire):
    """Credentials whole, or the ids of some that are here."""

    credentials: Annotated[list[Signed], Field(min_length=1, max_length=MAX_PRESENTED)]
    challenge: Label | None = None
    domain: Label | None = None
    suite: Suite = "eddsa-jcs-2022"


class CredentialOut(Wire):
    """A credential that is here. `credential` is the document, or the JWT as text."""

    id: str
    role: str
    type: str
    issuer: str
    subject: str | None
    valid_until: str | None
    revoked: str | None
    ts: str
    credential: Any


class CredentialList(Wire):
    items: list[CredentialOut]
    next: str | None


class ListQuery(PageQuery):
    role: Literal["issued", "held"] | None = None
    type: Annotated[str, Field(max_length=64)] | None = None


class Document(Wire):
    """A credential or presentation of VCDM 2.0 with its proof."""

    model_config = Wire.model_config | {"extra": "allow"}


@routes.add("POST", "/v1/credentials/issue", "Issue a credential, signed by this twin.")
async def issue(twin: Twin, body: Issue) -> Document:
    subject = twin.did if body.subject == "me" else body.subject
    claims = body.claims
    if not claims and body.type == REPUTATION:
        claims = await twin.reputation.claims(parse_did(subject))
    if body.suite not in get_args(Suite):
        document = await twin.credentials.issue_legacy(
            body.type,
            subject,
            claims,
            suite=cast(LegacySuite, body.suite),
            valid_for_s=body.valid_for_s,
            credential_id=body.id,
        )
        return Document(**document)
    document = await twin.credentials.issue(
        body.type,
        subject,
        claims,
        valid_for_s=body.valid_for_s,
        evidence=body.evidence or (),
        credential_id=body.id,
        suite=cast(Suite, body.suite),
        contexts=body.contexts or (),
    )
    return Document(**document)


@routes.add("POST", "/v1/credentials/verify", "Check a credential or a presentation, and name every check.")
async def verify(twin: Twin, body: ToVerify) -> Verdict:
    value = body.credential if body.presentation is None else body.presentation
    if value is None or (body.credential is not None and body.presentation is not None):
        raise InvalidRequest("body: /: give either 'credential' or 'presentation'")
    outcome = await twin.credentials.verify(value, challenge=body.challenge, domain=body.domain)
    return Verdict(**outcome.to_json())


@routes.add("GET", "/v1/credentials", "Credentials that this twin has issued or holds, newest first.")
async def show_list(twin: Twin, query: ListQuery) -> CredentialList:
    found = await twin.credentials.list(limit=query.limit, after=query.after, role=query.role, kind=query.type)
    return CredentialList(**page(found, _row))


@routes.add("POST", "/v1/credentials", "Keep a credential that was received, once its signature holds.")
async def keep(twin: Twin, body: ToImport) -> CredentialOut:
    return _row(await twin.credentials.keep(body.credential))


@routes.add("GET", "/v1/credentials/{id}", "One credential.")
async def show(twin: Twin, id: str) -> CredentialOut:  # noqa: A002
    return _row(await twin.credentials.get(id))


@routes.add("POST", "/v1/credentials/{id}/revoke", "Revoke a credential of this twin's, for ever.")
async def revoke(twin: Twin, id: str) -> CredentialOut:  # noqa: A002
    return _row(await twin.credentials.revoke(id))


@routes.add("POST", "/v1/presentations", "Present credentials to somebody, signed by this twin.")
async def present(twin: Twin, body: ToPresent) -> Document:
    document = await twin.credentials.present(
        body.credentials, challenge=body.challenge, domain=body.domain, suite=body.suite
    )
    return Document(**document)


def _row(row: CredentialRow) -> CredentialOut:
    return CredentialOut(
        id=row.id,
        role=row.role,
        type=row.type,
        issuer=row.issuer,
        subject=row.subject,
        valid_until=_time(row.valid_until_ms),
        revoked=_time(row.revoked_ms),
        ts=rfc3339(row.ts_ms),
        credential=_document(row),
    )


def _document(row: CredentialRow) -> Mapping[str, Any] | str:
    if row.form == "jwt":
        return row.document.decode()
    document: Mapping[str, Any] = orjson.loads(row.document)
    return document


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
