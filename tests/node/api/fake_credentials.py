"""Credentials held in memory: really signed and verified, with nothing behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from identity.credentials.data_integrity import AUTHENTICATION, ProofOptions, add_proof
from identity.credentials.report import Outcome
from identity.credentials.values import time_text
from identity.credentials.vcdm import build_credential, build_presentation, read_credential
from identity.credentials.verify import Value, Verifier
from identity.did import Did, DidDocument, did_key, resolve_did_key
from identity.keys import KeyPair
from node.credentials.errors import CredentialUnknown, DidkitMissing
from storage.credentials import CredentialRow
from storage.page import Page


async def _resolve(did: Did) -> DidDocument:
    return resolve_did_key(did)


class FakeCredentials:
    """Issues without a status list; revoking marks a row."""

    def __init__(self, keys: KeyPair, now_ms: int) -> None:
        self._keys, self._now_ms = keys, now_ms
        self._did = did_key(keys.public)
        self.rows: list[CredentialRow] = []

    async def issue(
        self, kind: str, subject: str, claims: Mapping[str, Any], *, credential_id: str | None = None, **more: Any
    ) -> dict[str, Any]:
        now_s, valid_for_s = self._now_ms / 1000, more["valid_for_s"]
        document = build_credential(
            types=(kind,),
            issuer=self._did,
            subject=subject,
            claims=claims,
            credential_id=credential_id or f"urn:uuid:{len(self.rows)}",
            valid_from_s=now_s,
            valid_until_s=None if valid_for_s is None else now_s + valid_for_s,
            evidence=more["evidence"],
            contexts=more["contexts"],
        )
        made = add_proof(document, self._options(suite=more["suite"]), sign=self._keys.sign)
        self._put("issued", made)
        return made

    async def issue_legacy(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise DidkitMissing("VCDM 1.1 with this signature suite needs didkit")

    async def verify(self, value: Value, *, challenge: str | None = None, domain: str | None = None) -> Outcome:
        verifier = Verifier(resolve=_resolve)
        return await verifier.verify(value, now_s=self._now_ms / 1000, challenge=challenge, domain=domain)

    async def keep(self, value: Value) -> CredentialRow:
        outcome = await self.verify(value)
        if outcome.errors:
            raise outcome.errors[0]
        assert outcome.document is not None
        return self._put("held", dict(outcome.document))

    async def list(self, *, limit: int, after: str | None, role: str | None, kind: str | None) -> Page[CredentialRow]:
        rows = [row for row in self.rows if role in (None, row.role) and kind in (None, row.type)]
        start = int(after or 0)
        end = start + limit
        return Page(tuple(rows[start:end]), str(end) if end < len(rows) else None)

    async def get(self, credential_id: str) -> CredentialRow:
        for row in self.rows:
            if row.id == credential_id:
                return row
        raise CredentialUnknown(f"no credential {credential_id!r} is here")

    async def revoke(self, credential_id: str) -> CredentialRow:
        row = await self.get(credential_id)
        revoked = _row(row.role, orjson.loads(row.document), self._now_ms, revoked_ms=self._now_ms)
        self.rows = [revoked if one is row else one for one in self.rows]
        return revoked

    async def present(
        self, credentials: Sequence[str | Mapping[str, Any]], *, challenge: str | None, domain: str | None, suite: Any
    ) -> dict[str, Any]:
        shown = [orjson.loads((await self.get(one)).document) if isinstance(one, str) else one for one in credentials]
        document = build_presentation(holder=self._did, credentials=shown, presentation_id="urn:uuid:vp")
        options = self._options(suite=suite, purpose=AUTHENTICATION, challenge=challenge, domain=domain)
        return add_proof(document, options, sign=self._keys.sign)

    def _options(self, **more: Any) -> ProofOptions:
        method = resolve_did_key(self._did).assertion[0].id
        return ProofOptions(verification_method=method, created=time_text(self._now_ms / 1000), **more)

    def _put(self, role: Any, document: dict[str, Any]) -> CredentialRow:
        row = _row(role, document, self._now_ms)
        self.rows.insert(0, row)
        return row


def _row(role: Any, document: dict[str, Any], now_ms: int, revoked_ms: int | None = None) -> CredentialRow:
    read = read_credential(document)
    return CredentialRow(
        seq=0,
        id=str(read.id),
        role=role,
        type=read.types[-1],
        issuer=read.issuer,
        subject=read.subjects[0],
        form="json",
        document=orjson.dumps(document),
        status_list=None,
        status_index=None,
        revoked_ms=revoked_ms,
        valid_until_ms=None if read.valid_until_s is None else int(read.valid_until_s * 1000),
        ts_ms=now_ms,
    )
