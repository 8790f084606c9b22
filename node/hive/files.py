"""Playbooks as files, in and out: playbook.toml, and refinement artifacts for people to review.

A file that is taken becomes revisions of our own, so what holds for those holds for it: limits, targets, red lines.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from identity.cid import Cid
from node.errors import OtherPlaybook, PlaybookFileRefused, RevisionRefused
from protocols.errors import RemoteProtocolError
from protocols.playbook import merge
from protocols.playbook.artifact import Artifact, Form, read_document, write_artifact
from protocols.playbook.delta import ApiOp, batches, delta
from protocols.playbook.file import PlaybookFile
from protocols.playbook.merge import Playbook
from protocols.playbook.revision import SignedRevision, parse_name

COMMON: Final = "common"
"""The playbook that every twin has."""

IMPORTED: Final = "Imported from a file."
"""The critique of what was imported without one."""


class Proposing(Protocol):
    """The part of the hive that takes revisions of our own."""

    async def view(self, name: str) -> Playbook: ...
    async def stored(self, name: str, cid: Cid) -> SignedRevision: ...
    async def check(self, name: str, ops: Sequence[Mapping[str, object]], *, anyway: bool = False) -> None: ...
    async def propose(
        self,
        name: str,
        critique: str,
        ops: Sequence[Mapping[str, object]],
        evidence: Sequence[str] = (),
        *,
        anyway: bool = False,
    ) -> Cid: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file: its operations in the form of the API, and the revisions that say them, in order.

    `notes` say what was read otherwise than it stands in the file.
    """

    playbook: str
    critique: str
    ops: Sequence[ApiOp]
    notes: Sequence[str]
    revisions: Sequence[Cid]


async def take_file(
    hive: Proposing,
    text: str,
    *,
    name: str | None = None,
    critique: str | None = None,
    dry_run: bool = False,
    anyway: bool = False,
) -> Taken:
    """Propose what makes a playbook say what a file says: a playbook.toml or an artifact, in TOML or JSON.

    `name` is the playbook; without it the one that an artifact names, or `common`. A dry run proposes nothing, and is
    refused where the proposal would be. Raises PlaybookFileRefused, OtherPlaybook, RevisionRefused or RedLineCrossed;
    then nothing was taken.
    """
    try:
        document = await asyncio.to_thread(read_document, text)
    except RemoteProtocolError as error:
        raise PlaybookFileRefused(str(error)) from error
    file, meant, reason = document, None, None
    if isinstance(document, Artifact):
        file, meant, reason = document.updated_playbook, document.playbook, document.critique
    assert isinstance(file, PlaybookFile)
    if name is not None and meant is not None and name != meant:
        raise OtherPlaybook(f"the artifact is about the playbook {meant!r}, not {name!r}")
    target = name or meant or COMMON
    why = critique or reason or IMPORTED
    ops = await changes(hive, target, file)
    made = await propose_all(hive, target, why, ops, anyway=anyway, dry_run=dry_run)
    return Taken(target, why, ops, file.notes, made)


async def changes(hive: Proposing, name: str, file: PlaybookFile, *, base: PlaybookFile | None = None) -> list[ApiOp]:
    """The operations between a playbook as it is and a file. Raises PlaybookFileRefused or RevisionRefused."""
    current = await _whole(hive, name)
    try:
        return await asyncio.to_thread(delta, current, file, base=base)
    except RemoteProtocolError as error:
        raise PlaybookFileRefused(str(error)) from error


async def propose_all(
    hive: Proposing,
    name: str,
    critique: str,
    ops: Sequence[Mapping[str, Any]],
    *,
    evidence: Sequence[str] = (),
    anyway: bool = False,
    dry_run: bool = False,
) -> list[Cid]:
    """Propose operations in as many revisions as they need; all of them, or none if one would be refused."""
    parts = list(batches([dict(op) for op in ops]))
    for part in parts:
        await hive.check(name, part, anyway=anyway)
    if dry_run:
        return []
    return [await hive.propose(name, critique, part, evidence, anyway=anyway) for part in parts]


async def artifact_of(hive: Proposing, name: str, cid: Cid, form: Form) -> str:
    """The refinement artifact of one revision: the playbook as it is with it. Raises RevisionUnknown."""
    signed = await hive.stored(parse_name(name), cid)
    current = await _whole(hive, name)
    playbook = await asyncio.to_thread(merge.apply, current, signed)
    revision = signed.revision
    return await asyncio.to_thread(
        write_artifact, playbook, twin=revision.author, critique=revision.critique, revisions=(cid,), form=form
    )


async def _whole(hive: Proposing, name: str) -> Playbook:
    """The playbook that revisions of ours stand on. Raises RevisionRefused while only a snapshot of it is here."""
    current = await hive.view(name)
    if current.provisional:
        raise RevisionRefused(f"the history of the playbook {name!r} is still being fetched: try again in a moment")
    return current
