"""What the owner is shown of one revision: how it was judged, what it changes, and how it has done since."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from identity.cid import Cid
from node.errors import RevisionUnknown
from node.hive.effective import Effective
from node.hive.shelf import Shelf
from node.reputation.reputation import Reputation
from protocols.playbook.diff import describe
from protocols.playbook.merge import Bullet
from protocols.playbook.ops import Add
from protocols.playbook.revision import Revision
from storage import judging as stage_rows
from storage import learning
from storage import revisions as rows
from storage.database import Database
from storage.judging import GateRow, Stage
from storage.learning import Arm
from storage.revisions import RevisionRow


@dataclass(frozen=True, slots=True)
class Taught:
    """A bullet that a revision adds; `now` is what is in effect of it, if it is."""

    id: str
    section: str
    text: str
    now: Bullet | None


@dataclass(frozen=True, slots=True)
class Detail:
    """One revision. `revision` is None where its blocks are lost; `changes` are lines for a person.

    `outcomes` are goals that went well and badly, of those that its bullets were given to (`canary` while it is tried,
    `usual` for all others that they fitted). `results` are gate results with their authors' standings.
    """

    row: RevisionRow
    revision: Revision | None
    stages: Sequence[tuple[Stage, int]]
    changes: Sequence[str]
    bullets: Sequence[Taught]
    outcomes: Mapping[Arm, tuple[int, int]]
    results: Sequence[tuple[GateRow, float]]
    share: float | None


async def detail_of(
    name: str, cid: Cid, *, database: Database, shelf: Shelf, effective: Effective, reputation: Reputation
) -> Detail:
    """Raises RevisionUnknown."""

    def read(
        conn: sqlite3.Connection,
    ) -> tuple[RevisionRow | None, list[tuple[Stage, int]], dict[Arm, tuple[int, int]], list[GateRow], float | None]:
        return (
            rows.get(conn, cid),
            stage_rows.stages_of(conn, cid),
            learning.outcomes(conn, name, cid),
            stage_rows.results_of(conn, cid),
            stage_rows.canaries(conn, name).get(cid),
        )

    row, stages, outcomes, results, share = await database.read(read)
    if row is None or row.playbook != name:
        raise RevisionUnknown(f"no revision {cid} of the playbook {name!r} is known here")
    signed = await asyncio.to_thread(shelf.held, cid)
    current, tried = effective.view(name), effective.view_with_canaries(name)
    scores = await reputation.scores()
    return Detail(
        row=row,
        revision=signed.revision if signed is not None else None,
        stages=stages,
        changes=describe(signed.revision, current) if signed is not None else ["its blocks are missing here"],
        bullets=[
            Taught(op.id, op.section, op.text, tried.bullet(op.id))
            for op in (signed.revision.ops if signed is not None else ())
            if isinstance(op, Add)
        ],
        outcomes=outcomes,
        results=[(result, scores.get(result.author, 0.0)) for result in results],
        share=share,
    )
