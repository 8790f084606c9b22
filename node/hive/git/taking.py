"""What people merged becomes revisions of ours: playbook.toml as what they changed in it, artifacts as what they add.

Red lines and limits hold as for any revision of ours, and settings under `ethics` are left out: the owner alone changes
those. What is not taken is told in words, and keeps nothing else out.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did
from identity.errors import MalformedCid
from node.errors import GitRefused, NodeError
from node.hive.files import Proposing, changes, propose_all
from node.hive.git.record import Record
from node.hive.git.remote import ARTIFACTS, FILE, Look
from node.hive.judging.texts import ETHICS
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.playbook.artifact import Artifact, read_document
from protocols.playbook.delta import NOTHING, ApiOp
from protocols.playbook.file import parse
from protocols.playbook.keys import split_key
from protocols.playbook.ops import Metric
from storage import revisions as rows
from storage.database import Database

logger = logging.getLogger(__name__)

FROM_GIT: Final = "git:"
"""What the evidence of a revision begins with that came out of the repository; the commit's id follows."""

_MERGED: Final = "Merged in the Git repository."
_LOOKED_BACK: Final = 200
"""The newest revisions, among which those of an interrupted pull are."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Our new revisions, what was not taken, and the playbook.toml to compare with next time."""

    revisions: Sequence[Cid]
    problems: Sequence[str]
    file: str | None


class Taking:
    """Takes in what a look at the repository of one playbook brought."""

    def __init__(self, playbook: str, *, did: Did, hive: Proposing, database: Database) -> None:
        self._playbook = playbook
        self._did = did
        self._hive = hive
        self._database = database

    async def take(self, look: Look, record: Record) -> Taken:
        """Propose what is new in the repository. Taking the same again proposes nothing."""
        problems = [f"{ARTIFACTS}/{name}: cannot be read" for name in look.skipped]
        made: list[Cid] = []
        file = record.file
        if look.file is None:
            problems.append(f"{FILE}: there is none")
        elif look.file != record.file:
            try:
                made += await self._file(look.file, record.file, look.commit, problems)
                file = look.file
            except (RemoteProtocolError, NodeError) as error:
                problems.append(f"{FILE}: {error}")
        for name, text in sorted(look.artifacts.items()):
            if look.blobs[name] in record.pushed_blobs:
                continue
            try:
                made += await self._artifact(f"{ARTIFACTS}/{name}", text, look.commit, problems)
            except (RemoteProtocolError, NodeError) as error:
                problems.append(f"{ARTIFACTS}/{name}: {error}")
        for problem in problems:
            logger.warning("Git: not taken: %s", problem)
        return Taken(made, problems, file)

    async def _file(self, text: str, before: str | None, commit: str | None, problems: list[str]) -> list[Cid]:
        """What changed between two states of playbook.toml. The first one only adds: nobody has taken anything out."""
        wanted = await asyncio.to_thread(parse, text)
        base = NOTHING if before is None else await asyncio.to_thread(parse, before)
        ops = _without_ethics(await changes(self._hive, self._playbook, wanted, base=base), FILE, problems)
        evidence = f"{FROM_GIT}{commit}"
        if any(op["op"] == "metric" for op in ops) and await self._reported(evidence):
            ops = _without_metrics(ops)
        return await propose_all(self._hive, self._playbook, _MERGED, ops, evidence=[evidence])

    async def _artifact(self, path: str, text: str, commit: str | None, problems: list[str]) -> list[Cid]:
        """What an artifact adds. It was made of another state, so nothing is taken out for want of it, and its metrics,
        which are means over what many reported, are not added to ours."""
        artifact = await asyncio.to_thread(read_document, text)
        if not isinstance(artifact, Artifact):
            raise GitRefused("no artifact: it has no updated_playbook")
        if artifact.playbook not in (None, self._playbook):
            raise GitRefused(f"it is about the playbook {artifact.playbook!r}")
        statuses = await self._statuses(artifact.revisions)
        if "rejected" in statuses:
            raise GitRefused("it shows a revision that was rejected here")
        if statuses == {"adopted"}:
            return []
        ops = await changes(self._hive, self._playbook, artifact.updated_playbook, base=NOTHING)
        ops = _without_ethics(_without_metrics(ops), path, problems)
        evidence = [f"{FROM_GIT}{commit}", path[: limits.MAX_EVIDENCE_CHARS]]
        return await propose_all(self._hive, self._playbook, artifact.critique or _MERGED, ops, evidence=evidence)

    async def _statuses(self, revisions: Sequence[str]) -> set[str | None]:
        """How the revisions that an artifact names were judged here; None for what is not known."""
        cids: list[Cid | None] = []
        for text in revisions[: limits.MAX_EVIDENCE]:
            try:
                cids.append(Cid.parse(text))
            except MalformedCid:
                cids.append(None)
        found = await self._database.read(lambda conn: [rows.get(conn, cid) if cid else None for cid in cids])
        return {row.status if row is not None else None for row in found}

    async def _reported(self, evidence: str) -> bool:
        """Whether a pull of this commit that was interrupted has reported its metrics already."""
        page = await self._database.read(lambda conn: rows.list_revisions(conn, self._playbook, limit=_LOOKED_BACK))
        for row in page.items:
            if row.author == self._did:
                revision = (await self._hive.stored(self._playbook, row.cid)).revision
                if evidence in revision.evidence and any(isinstance(op, Metric) for op in revision.ops):
                    return True
        return False


def _without_ethics(ops: Sequence[ApiOp], path: str, problems: list[str]) -> list[ApiOp]:
    """The operations but for those on settings under `ethics`, which are noted as a problem of the file."""
    kept = [op for op in ops if op["op"] != "set" or split_key(op["key"])[0].casefold() != ETHICS]
    if len(kept) < len(ops):
        problems.append(f"{path}: [ethics] is changed by its owner alone: import the file yourself to take that too")
    return kept


def _without_metrics(ops: Sequence[ApiOp]) -> list[ApiOp]:
    return [op for op in ops if op["op"] != "metric"]
