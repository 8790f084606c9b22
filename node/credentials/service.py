"""The credentials of one twin: issue, revoke, hold, list, verify, present.

What is issued is on disk before it is handed out. What is taken in from others is checked first; an import whose
signature does not hold is refused, one that is only expired or revoked is kept, because it is history.
"""

import secrets
import sqlite3
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import orjson

from identity.credentials.bounds import MAX_SCHEMA_BYTES
from identity.credentials.data_integrity import AUTHENTICATION, ProofOptions, Suite, add_proof
from identity.credentials.errors import MalformedCredential
from identity.credentials.jose import read_jwt
from identity.credentials.report import Outcome
from identity.credentials.values import time_text
from identity.credentials.vcdm import (
    VC,
    Credential,
    build_credential,
    build_presentation,
    enveloped,
    out_of_envelope,
    read_credential,
)
from identity.credentials.verify import Resolve, Value, Verifier
from identity.did import Did
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.credentials import vc11
from node.credentials.errors import CredentialExists, CredentialUnknown, NotRevocable
from node.credentials.status_lists import Ask, Get, Issuers, StatusLists, StatusSource
from node.events import EventBus
from node.messaging.source import Source
from protocols import limits
from protocols.conversations.reply import Reply
from protocols.message import Message
from storage import credentials as rows
from storage.credentials import CredentialRow, Role
from storage.database import Database
from storage.page import Page

_MUST_HOLD: Final = frozenset({"parse", "context", "signature", "issuer", "purpose", "schema"})
"""The checks that a credential has to pass to be kept."""

_MAX_VALID_S: Final = 100 * 365 * 86_400


class Credentials:
    """See the module's docstring. `trusted_status_issuers` may sign status lists for others' credentials."""

    def __init__(
        self,
        *,
        own: Issuers,
        keys: KeyPair,
        resolve: Resolve,
        get: Get,
        ask: Ask,
        database: Database,
        events: EventBus,
        public_url: str | None = None,
        trusted_status_issuers: Callable[[], Collection[Did]] = tuple,
        now: NowMs = now_ms,
        pick: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._own = own
        self._keys = keys
        self._resolve = resolve
        self._get = get
        self._database = database
        self._events = events
        self._trusted = trusted_status_issuers
        self._now = now
        self._pick = pick
        self.status_lists: Final = StatusLists(own=own, database=database, public_url=public_url, now=now)
        self._status_source = StatusSource(own=self.status_lists, get=get, ask=ask, now=now)

    async def issue(
        self,
        kind: str,
        subject: str,
        claims: Mapping[str, Any],
        *,
        valid_for_s: float | None = None,
        evidence: Sequence[Mapping[str, Any]] = (),
        credential_id: str | None = None,
        suite: Suite = "eddsa-jcs-2022",
        contexts: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Issue a credential of type `kind` about `subject`, revocable, signed by this twin's present key.

        Raises ClaimsRefused, MalformedCredential, ContextUnknown, CredentialTooLarge or CredentialExists.
        """
        now_s, author = self._now() / 1000, self._own.author()
        credential_id = credential_id or f"urn:uuid:{uuid.uuid4()}"

        def build(status: Mapping[str, Any] | None) -> dict[str, Any]:
            return build_credential(
                types=(kind,),
                issuer=author.did,
                subject=subject,
                claims=claims,
                credential_id=credential_id,
                valid_from_s=now_s,
                valid_until_s=None if valid_for_s is None else now_s + min(valid_for_s, _MAX_VALID_S),
                status=status,
                evidence=evidence,
                contexts=contexts,
            )

        build(None)  # What is refused takes no place in a list.
        if await self._database.read(lambda conn: rows.get_credential(conn, credential_id, "issued")) is not None:
            raise CredentialExists(f"{credential_id[:120]} was issued already")
        number, entry = await self.status_lists.reserve(self._pick)
        options = ProofOptions(verification_method=author.signing_kid, created=time_text(now_s), suite=suite)
        document = add_proof(build(entry.to_json()), options, sign=author.sign)
        await self._keep_issued(read_credential(document), number, entry.index)
        return document

    async def issue_legacy(
        self,
        kind: str,
        subject: str,
        claims: Mapping[str, Any],
        *,
        suite: vc11.LegacySuite,
        valid_for_s: float | None = None,
        credential_id: str | None = None,
    ) -> dict[str, Any]:
        """Issue a credential of VCDM 1.1 through didkit, not revocable; a JWT is put into an envelope.

        Raises DidkitMissing, ClaimsRefused, MalformedCredential or CredentialExists.
        """
        now_s = self._now() / 1000
        signed = await vc11.issue(
            self._keys,
            suite=suite,
            kind=kind,
            subject=subject,
            claims=claims,
            credential_id=credential_id or f"urn:uuid:{uuid.uuid4()}",
            now_s=now_s,
            valid_until_s=None if valid_for_s is None else now_s + min(valid_for_s, _MAX_VALID_S),
        )
        document: dict[str, Any] = orjson.loads(signed) if signed.startswith("{") else read_jwt(signed).document
        await self._keep_issued(read_credential(document), None, None, signed)
        return document if signed.startswith("{") else enveloped(signed)

    async def revoke(self, credential_id: str) -> CredentialRow:
        """Set the bit of an issued credential, for ever. Raises CredentialUnknown or NotRevocable."""
        row = await self.get(credential_id, "issued")
        if row.status_list is None:
            raise NotRevocable(f"{credential_id[:120]} has no place in a status list")
        if row.revoked_ms is None:
            event = self._events.make("credential_revoked", credential_id, {"id": credential_id, "type": row.type})

            def revoke(conn: sqlite3.Connection) -> None:
                rows.revoke(conn, credential_id, event.ts_ms)
                self._events.record(conn, event)

            await self._database.write(revoke)
            self._events.announce(event)
        return await self.get(credential_id, "issued")

    async def keep(self, value: Value) -> CredentialRow:
        """Keep a credential that was received. Raises what is wrong with it if its signature or form does not hold."""
        if isinstance(value, Mapping):
            value = out_of_envelope(value)
        outcome = (
            await self.verify(value)
            if vc11.is_legacy(value)
            else await self._verifier(status=False).verify(value, now_s=self._now() / 1000)
        )
        failed = next((one.error for one in outcome.checks if one.error is not None and one.name in _MUST_HOLD), None)
        if failed is not None:
            raise failed
        assert outcome.document is not None
        if outcome.document.get("verifiableCredential") is not None:
            raise MalformedCredential("a presentation: import the credentials in it one by one")
        credential = read_credential(outcome.document)
        if credential.id is None:
            raise MalformedCredential("a credential without an id cannot be kept")
        is_json = isinstance(value, Mapping) or (value.strip()[:1] in ("{", b"{"))
        document = orjson.dumps(outcome.document) if is_json else _bytes(value)
        await self._database.write(
            lambda conn: self._put(conn, credential, "held", "json" if is_json else "jwt", document)
        )
        return await self.get(credential.id, "held")

    async def get(self, credential_id: str, role: Role | None = None) -> CredentialRow:
        """One credential. Raises CredentialUnknown."""
        row = await self._database.read(lambda conn: rows.get_credential(conn, credential_id, role))
        if row is None:
            which = "issued by this twin" if role == "issued" else "here"
            raise CredentialUnknown(f"no credential {credential_id[:120]!r} is {which}")
        return row

    async def list(
        self, *, limit: int, after: str | None = None, role: Role | None = None, kind: str | None = None
    ) -> Page[CredentialRow]:
        """Credentials, newest first."""
        return await self._database.read(
            lambda conn: rows.list_credentials(conn, limit=limit, after=after, role=role, type=kind)
        )

    async def verify(self, value: Value, *, challenge: str | None = None, domain: str | None = None) -> Outcome:
        """Check a credential or a presentation; never raises for what is wrong with it."""
        if vc11.is_legacy(value):
            assert isinstance(value, Mapping)
            return await vc11.verify(value, now_s=self._now() / 1000)
        return await self._verifier().verify(value, now_s=self._now() / 1000, challenge=challenge, domain=domain)

    async def present(
        self,
        credentials: Sequence[str | Mapping[str, Any]],
        *,
        challenge: str | None = None,
        domain: str | None = None,
        suite: Suite = "eddsa-jcs-2022",
    ) -> dict[str, Any]:
        """A presentation by this twin of credentials, each given whole or by the id of one that is here.

        Raises CredentialUnknown or MalformedCredential.
        """
        shown = [await self._shown(one) for one in credentials]
        author = self._own.author()
        document = build_presentation(holder=author.did, credentials=shown, presentation_id=f"urn:uuid:{uuid.uuid4()}")
        options = ProofOptions(
            verification_method=author.signing_kid,
            created=time_text(self._now() / 1000),
            purpose=AUTHENTICATION,
            suite=suite,
            challenge=challenge,
            domain=domain,
        )
        return add_proof(document, options, sign=author.sign)

    async def answer_status(self, _source: Source, _sender: Did, message: Message) -> Sequence[Reply]:
        """Answer a STATUS_REQUEST, whoever asks."""
        return await self.status_lists.answer(message)

    def _verifier(self, *, status: bool = True) -> Verifier:
        return Verifier(
            resolve=self._resolve,
            fetch_status=self._status_source.fetch if status else None,
            fetch_schema=self._fetch_schema,
            trusted_status_issuers=self._trusted(),
        )

    async def _fetch_schema(self, url: str) -> bytes:
        return await self._get(url, max_bytes=MAX_SCHEMA_BYTES, timeout_s=limits.CREDENTIAL_FETCH_S)

    async def _shown(self, one: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
        """A JWT stays text; the id of a credential becomes the credential."""
        if isinstance(one, Mapping):
            return one
        if one.count(".") == 2 and one.startswith("ey"):
            return one
        row = await self.get(one)
        document: Mapping[str, Any] = orjson.loads(row.document) if row.form == "json" else {}
        return document or row.document.decode()

    async def _keep_issued(
        self, credential: Credential, number: int | None, index: int | None, signed: str | None = None
    ) -> None:
        event = self._events.make(
            "credential_issued",
            str(credential.id),
            {"id": credential.id, "type": _kind(credential), "subject": credential.subjects[0]},
        )
        form: rows.Form = "jwt" if signed is not None and not signed.startswith("{") else "json"
        document = orjson.dumps(credential.document) if signed is None else signed.encode()

        def store(conn: sqlite3.Connection) -> None:
            if not self._put(conn, credential, "issued", form, document, number, index):
                raise CredentialExists(f"{str(credential.id)[:120]} was issued already")
            self._events.record(conn, event)

        await self._database.write(store)
        self._events.announce(event)

    def _put(
        self,
        conn: sqlite3.Connection,
        credential: Credential,
        role: Role,
        form: rows.Form,
        document: bytes,
        number: int | None = None,
        index: int | None = None,
    ) -> bool:
        return rows.put_credential(
            conn,
            id=str(credential.id),
            role=role,
            type=_kind(credential),
            issuer=credential.issuer,
            subject=credential.subjects[0],
            form=form,
            document=document,
            status_list=number,
            status_index=index,
            valid_until_ms=None if credential.valid_until_s is None else int(credential.valid_until_s * 1000),
            ts_ms=self._now(),
        )


def _kind(credential: Credential) -> str:
    """The type that says something."""
    return next((kind for kind in credential.types if kind != VC), VC)


def _bytes(value: Value) -> bytes:
    assert not isinstance(value, Mapping)
    return value if isinstance(value, bytes) else value.encode()
