"""A hive that lives in memory: what the tests of the API and of the command line see of playbooks."""

from collections.abc import Mapping, Sequence
from typing import Any

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from node.errors import RevisionRefused, RevisionUnknown
from node.hive.detail import Detail, Taught
from node.hive.judging.duplicates import Lesson
from node.hive.judging.errors import CheckUnknown, NoModelToTry, NotDuplicates
from node.hive.judging.expecting import Expectation
from node.hive.provisional import Provisional
from node.red_lines.errors import RedLineUnknown
from node.red_lines.patterns import Pattern
from node.red_lines.red_lines import Found, Hit
from protocols.playbook.merge import EMPTY, Playbook, apply
from protocols.playbook.ops import Add, new_ops
from protocols.playbook.revision import Revision, SignedRevision, sign_revision
from storage.checks import Check
from storage.judging import GateRow, Stage
from storage.page import Page
from storage.red_lines import Kind, RedLine
from storage.revisions import RevisionRow

KEYS = KeyPair(bytes(range(32)))
NOW_MS = 1_795_000_000_250


def _page(rows: Sequence[Any], limit: int, after: str | None) -> Page[Any]:
    """A page whose cursor is the number of rows before it."""
    start = int(after or 0)
    end = start + limit
    return Page(tuple(rows[start:end]), str(end) if end < len(rows) else None)


class FakeRedLines:
    """Phrases and meanings alike are looked for as they stand."""

    def __init__(self) -> None:
        self.lines: list[RedLine] = []

    async def add(self, kind: Kind, text: str) -> RedLine:
        if kind == "pattern":
            Pattern(text)
        line = RedLine(f"{len(self.lines)}", kind, text, NOW_MS)
        self.lines.append(line)
        return line

    async def remove(self, line_id: str) -> None:
        if all(line.id != line_id for line in self.lines):
            raise RedLineUnknown(f"there is no red line {line_id!r}")
        self.lines = [line for line in self.lines if line.id != line_id]

    async def crossed(self, texts: Sequence[tuple[str, str]]) -> Found:
        hits = [
            Hit(line, where, 0.5 if line.kind == "meaning" else None)
            for where, text in texts
            for line in self.lines
            if line.text in text
        ]
        return Found(tuple(hits), whole=True)


class FakeChecks:
    """Keeps checks; the rules are the real ones."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}

    async def add(self, playbook: str, goal: str, expected: str) -> Check:
        Expectation.of(expected)
        seq = len(self.checks) + 1
        check = Check(seq, f"{seq}", playbook, goal, expected, "owner", NOW_MS)
        self.checks[check.id] = check
        return check

    async def add_from_history(self, playbook: str, goal: str, answer: str) -> bool:
        await self.add(playbook, goal, answer)
        return True

    async def forget_from_history(self, playbook: str, goal: str) -> None:
        self.checks = {key: one for key, one in self.checks.items() if (one.playbook, one.goal) != (playbook, goal)}

    async def list(self, playbook: str | None, *, limit: int, after: str | None = None) -> Page[Check]:
        return _page([one for one in self.checks.values() if playbook in (None, one.playbook)], limit, after)

    async def get(self, check_id: str) -> Check:
        if check_id not in self.checks:
            raise CheckUnknown(f"there is no check {check_id!r}")
        return self.checks[check_id]

    async def remove(self, check_id: str) -> None:
        await self.get(check_id)
        del self.checks[check_id]


class FakeHive:
    """Adopts its own revisions, in real playbooks."""

    def __init__(self) -> None:
        self.playbooks: dict[str, Playbook] = {}
        self.shown_by: dict[str, Provisional] = {}
        self.rows: dict[str, list[RevisionRow]] = {}
        self.revised: dict[Cid, Revision] = {}
        self.signed: dict[Cid, SignedRevision] = {}
        self.red_lines = FakeRedLines()
        self.checks = FakeChecks()

    @property
    def names(self) -> list[str]:
        return sorted(self.playbooks)

    async def offered(self) -> dict[str, list[Did]]:
        return {} if "kilns" in self.playbooks else {"kilns": [did_key(KEYS.public)]}

    async def follow(self, name: str) -> Playbook:
        self.playbooks.setdefault(name, EMPTY(name))
        return await self.view(name)

    async def view_with_canaries(self, name: str) -> Playbook:
        return await self.view(name)

    async def lessons(self, name: str, *, with_canaries: bool = False) -> tuple[Lesson, ...]:
        return tuple(Lesson(bullet) for bullet in (await self.view(name)).bullets)

    async def overview(self, name: str) -> dict[str, int]:
        return {"adopted": len(self.rows.get(name, ()))}

    async def detail(self, name: str, cid: Cid) -> Detail:
        await self._known(name, cid)
        row = next(row for row in self.rows[name] if row.cid == cid)
        revision = self.revised[cid]
        result = GateRow(cid, cid, cid, name, did_key(KEYS.public), 3, 1, 2, "scripted", NOW_MS)
        bullets = [
            Taught(op.id, op.section, op.text, (await self.view(name)).bullet(op.id))
            for op in revision.ops
            if isinstance(op, Add)
        ]
        return Detail(
            row=row,
            revision=revision,
            stages=[(Stage("author", "passed", "written here"), NOW_MS)],
            changes=["+ a line"],
            bullets=bullets,
            outcomes={"usual": (1, 0), "canary": (0, 0)},
            results=[(result, 0.5)],
            share=None,
        )

    async def split(self, name: str, a: str, b: str) -> None:
        raise NotDuplicates(f"the bullets {a} and {b} are not shown as one")

    async def reject_author(self, name: str, author: Did, reason: str) -> int:
        return len(self.rows.get(name, ()))

    async def run_checks(self, name: str, checks: Sequence[Check]) -> dict[str, bool]:
        if not checks:
            raise NoModelToTry("there is no model here")
        return {check.id: check.goal == check.expected for check in checks}

    def provisional(self, name: str) -> Provisional | None:
        return self.shown_by.get(name)

    async def view(self, name: str) -> Playbook:
        return self.playbooks.get(name) or EMPTY(name)

    async def check(self, name: str, ops: Sequence[Mapping[str, object]], *, anyway: bool = False) -> None:
        if any("forbidden" in str(op) for op in ops) and not anyway:
            raise RevisionRefused("that is forbidden here")

    async def stored(self, name: str, cid: Cid) -> SignedRevision:
        await self._known(name, cid)
        return self.signed[cid]

    async def propose(
        self,
        name: str,
        critique: str,
        ops: Sequence[Mapping[str, object]],
        evidence: Sequence[str] = (),
        *,
        anyway: bool = False,
    ) -> Cid:
        current = await self.view(name)
        author, height = did_key(KEYS.public), current.height + 1
        made = new_ops(ops, author=author, height=height)
        revision = Revision(name, current.next_parents, height, author, NOW_MS, critique, tuple(evidence), made)
        signed = sign_revision(revision, KEYS)
        self.signed[signed.cid] = signed
        self.playbooks[name] = apply(current, signed)
        self.revised[signed.cid] = signed.revision
        row = RevisionRow(
            *(len(self.revised), signed.cid, signed.payload_cid, name, author, height, NOW_MS, critique),
            *("adopted", "written here", NOW_MS),
        )
        self.rows.setdefault(name, []).insert(0, row)
        return signed.cid

    async def revisions(self, name: str, status: str | None, limit: int, after: str | None) -> Page[RevisionRow]:
        return _page([row for row in self.rows.get(name, ()) if status in (None, row.status)], limit, after)

    async def approve(self, name: str, cid: Cid, *, canary: bool = False, share: float = 0.2) -> Playbook:
        return await self._known(name, cid)

    async def reject(self, name: str, cid: Cid, reason: str) -> Playbook:
        return await self._known(name, cid)

    async def rollback(self, name: str, cid: Cid) -> Playbook:
        return await self._known(name, cid)

    async def _known(self, name: str, cid: Cid) -> Playbook:
        if all(row.cid != cid for row in self.rows.get(name, ())):
            raise RevisionUnknown(f"no revision {cid} of the playbook {name!r} is known here")
        return await self.view(name)
