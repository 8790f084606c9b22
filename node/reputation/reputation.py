"""The reputations of all twins: gathers what was seen here and what named twins testify, and notes new experiences."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from identity.did import Did
from node.clock import NowMs, now_ms
from node.reputation.standing import Attestation, Kind, Standing, first_hand, standing
from node.trust import TrustList
from storage import experiences as rows
from storage.database import Database
from storage.experiences import Experience

MAX_EVIDENCE: Final = 32
"""Pieces of evidence named in one reputation credential."""

Hearsay = Callable[[], Sequence[tuple[Did, Attestation]]]
"""The reputation credentials that are held and still verify: whom each is about, and what it says."""


class Reputation:
    """Standings, as seen from this twin."""

    def __init__(self, *, database: Database, trust: TrustList, attestations: Hearsay, now: NowMs = now_ms) -> None:
        self._database = database
        self._trust = trust
        self._attestations = attestations
        self._now = now

    async def note(self, did: Did, kind: Kind, ref: str, *, good: float = 0.0, bad: float = 0.0) -> None:
        """Keep something that a twin did. The same reference again replaces what was noted before."""
        experience = Experience(did, kind, ref, good, bad, self._now())
        await self._database.write(lambda conn: rows.note(conn, experience))

    def noting(
        self, did: Did, kind: Kind, ref: str, *, good: float, bad: float, instead_of: str | None = None
    ) -> Callable[[sqlite3.Connection], None]:
        """The same as a step of somebody else's transaction; `instead_of` is a reference whose word this replaces."""
        experience = Experience(did, kind, ref, good, bad, self._now())

        def note(conn: sqlite3.Connection) -> None:
            if instead_of is not None:
                rows.forget(conn, did, kind, instead_of)
            rows.note(conn, experience)

        return note

    async def of(self, did: Did) -> Standing:
        """One twin's standing, with its reasons."""
        return self._standings([did], await self._database.read(rows.of_all))[did]

    async def scores(self) -> Mapping[Did, float]:
        """The scores of all twins of which anything is known; everybody else has 0."""
        seen = await self._database.read(rows.of_all)
        known = {*seen, *(about for about, _ in self._attestations())}
        return {did: found.score for did, found in self._standings(sorted(known), seen).items()}

    async def claims(self, did: Did) -> dict[str, Any]:
        """What this twin can testify about another in a PAGIReputationCredential: by own experience alone."""
        seen = await self._database.read(lambda conn: rows.of_twin(conn, did))
        own = first_hand(seen, self._now())
        contributions = [
            {"kind": one.kind, "evidence": one.ref, "helpful": one.good > one.bad} for one in seen[:MAX_EVIDENCE]
        ]
        return {"reputationScore": own.score, "contributions": contributions}

    def _standings(self, dids: Sequence[Did], seen: Mapping[Did, Sequence[Experience]]) -> dict[Did, Standing]:
        """The standings of these twins; `seen` are all experiences, since those with issuers count as well."""
        said: dict[Did, list[Attestation]] = {}
        for about, attestation in self._attestations():
            said.setdefault(about, []).append(attestation)
        now, named = self._now(), self._trust.named
        issuers = {did: first_hand(seen.get(did, ()), now).score for did in named}
        return {
            did: standing(
                seen.get(did, ()), said.get(did, ()), subject=did, named=named, first_hand_of_issuer=issuers, now_ms=now
            )
            for did in dids
        }
