"""The reputation credentials that this twin holds, as far as they still verify and their issuers are named.

Verifying can need another twin or a web server, for the status list; so it is done ahead, and whoever asks for
standings never waits for it. What cannot be verified now does not count now.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from identity.credentials.schemas import REPUTATION
from identity.credentials.vcdm import read_credential
from identity.did import Did
from node.credentials.service import Credentials
from node.reputation.standing import Attestation
from node.trust import TrustList
from storage.credentials import CredentialRow

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
"""How soon a credential that was imported, or an issuer that was named, counts."""

VERIFY_EVERY_S: Final = 600.0
"""How soon one that was revoked counts no more."""

MAX_HELD: Final = 500
"""Credentials that are looked at, the newest first: of each issuer only the newest about a twin counts anyway."""


class Attestations:
    """See the module's docstring."""

    def __init__(self, credentials: Credentials, trust: TrustList) -> None:
        self._credentials = credentials
        self._trust = trust
        self._verified: tuple[tuple[Did, Attestation], ...] = ()

    def current(self) -> Sequence[tuple[Did, Attestation]]:
        """Whom each is about, and what it says."""
        return self._verified

    async def run(self) -> None:
        """Keep them verified until cancelled."""
        seen: object = None
        verified_at = 0.0
        while True:
            rows = await self._held()
            now = (tuple(row.seq for row in rows), self._trust.named)
            if now != seen or time.monotonic() - verified_at >= VERIFY_EVERY_S:
                found = [attestation for row in rows if (attestation := await self._attestation(row)) is not None]
                self._verified = tuple(found)
                seen, verified_at = now, time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _held(self) -> list[CredentialRow]:
        page = await self._credentials.list(limit=MAX_HELD, role="held", kind=REPUTATION)
        return [row for row in page.items if row.issuer in self._trust.named]

    async def _attestation(self, row: CredentialRow) -> tuple[Did, Attestation] | None:
        value = orjson.loads(row.document) if row.form == "json" else row.document
        outcome = await self._credentials.verify(value)
        if not outcome.valid or outcome.document is None or row.subject is None:
            logger.info("the reputation credential %s does not verify now, and does not count", row.id)
            return None
        return Did(row.subject), _attested(row, outcome.document)


def _attested(row: CredentialRow, document: Mapping[str, Any]) -> Attestation:
    """What a valid credential says. One without our schema may say anything: what is no score then is 0."""
    credential = read_credential(document)
    claims = document["credentialSubject"]
    score = claims.get("reputationScore") if isinstance(claims, dict) else None
    contributions = claims.get("contributions") if isinstance(claims, dict) else None
    valid_from_ms = None if credential.valid_from_s is None else int(credential.valid_from_s * 1000)
    return Attestation(
        issuer=Did(row.issuer),
        score=float(score) if isinstance(score, int | float) and math.isfinite(score) else 0.0,
        contributions=len(contributions) if isinstance(contributions, list) else 0,
        issued_ms=row.ts_ms if valid_from_ms is None else valid_from_ms,
        credential_id=row.id,
    )
