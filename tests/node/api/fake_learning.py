"""What the interface reaches of learning: the bullets of a job, lessons from feedback, and the meta-learner."""

from collections.abc import Sequence
from dataclasses import replace

from fake_hive import NOW_MS

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from node.hive.judging.expecting import Expectation
from node.mind.learning.learning import Used
from node.mind.learning.proposing import Improvement, Kept
from node.mind.meta.errors import ActionSettled, ActionUnknown, NothingToExport
from storage.checks import Check
from storage.learning import JobOutcome, Outcome, Source, Use
from storage.meta_learning import MetaAction, State
from storage.page import Page


class FakeLearning:
    """Every job was given one bullet."""

    def __init__(self) -> None:
        self._rated: dict[str, Outcome] = {}
        self.said: list[tuple[str | None, str | None, bool | None]] = []
        self.checked: list[tuple[str, bool]] = []

    async def of(self, job_id: str) -> Used:
        use = Use("b" * 33, Cid.of(CODEC_DAG_JOSE, b"revision"), "adopted")
        rated = self._rated.get(job_id)
        source: Source = "owner" if rated else "job"
        return Used(JobOutcome(job_id, "common", rated or "good", source, False, NOW_MS), (use,))

    async def rate(
        self,
        job_id: str,
        *,
        good: bool,
        expected: str | None = None,
        because: str | None = None,
        share: bool | None = None,
    ) -> Used:
        if expected is not None:
            Expectation.of(expected)
        self._rated[job_id] = "good" if good else "bad"
        self.said.append((expected, because, share))
        return await self.of(job_id)

    async def note_checks(self, name: str, results: Sequence[tuple[Check, bool]]) -> None:
        self.checked += [(name, right) for _, right in results]


class FakeProposing:
    """One rule helped with the playbook `common`; elsewhere there is no model."""

    async def improve(self, name: str) -> Improvement:
        if name != "common":
            return Improvement(why="there is no model here, so nothing was written")
        kept = Kept("Name the unit.", name, 3, 2, None, ("job:1",))
        return Improvement((kept,), {"it did not help": 2}, 3)


class FakeLearner:
    """Two actions are proposed, one is done."""

    mode = "propose"

    def __init__(self) -> None:
        actions = (
            _action("proposed-1", "proposed", "teams"),
            _action("done-1", "done", "drift"),
            _action("proposed-2", "proposed", "transfer"),
        )
        self.actions = {one.id: one for one in actions}

    async def list(self, limit: int, after: str | None = None) -> Page[MetaAction]:
        start = int(after or 0)
        rows = list(self.actions.values())[start : start + limit]
        more = start + limit < len(self.actions)
        return Page(tuple(rows), str(start + limit) if more else None)

    async def get(self, action_id: str) -> MetaAction:
        if action_id not in self.actions:
            raise ActionUnknown(f"there is no action {action_id!r}")
        return self.actions[action_id]

    async def look(self) -> Sequence[MetaAction]:
        return [self.actions["proposed-1"]]

    async def approve(self, action_id: str) -> MetaAction:
        return await self._settle(action_id, "proposed", "done")

    async def decline(self, action_id: str) -> MetaAction:
        return await self._settle(action_id, "proposed", "declined")

    async def undo(self, action_id: str) -> MetaAction:
        return await self._settle(action_id, "done", "undone")

    async def _settle(self, action_id: str, before: State, after: State) -> MetaAction:
        action = await self.get(action_id)
        if action.state != before:
            raise ActionSettled(f"the action is {action.state}")
        self.actions[action_id] = replace(action, state=after)
        return self.actions[action_id]


class FakeExporting:
    """One trace, and none that is curated."""

    async def lines(self, *, curated: bool) -> tuple[list[bytes], int]:
        if curated:
            raise NothingToExport("there is no trace to export that is known to be good")
        return [b'{"messages":[]}\n'], 0


def _action(action_id: str, state: State, matter: str) -> MetaAction:
    return MetaAction(
        id=action_id,
        matter=matter,
        about="it",
        state=state,
        finding="it could be better",
        action="make it better",
        measured={"share": 0.25},
        needs={"secret": "what acting needs"},
        undo={},
        ts_ms=NOW_MS,
        updated_ms=NOW_MS,
    )
