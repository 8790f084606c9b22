"""Who lets the cases act, and how what they did is recorded and taken back. The case is scripted, all else is real."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from node.mind.errors import WorkStopped
from node.mind.meta import meta_learner
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.errors import ActionFinal, ActionSettled, ActionUnknown, CasePostponed, LearningOff
from node.mind.meta.meta_learner import INTERRUPTED, MIN_BETWEEN_S, QUIET_S, MetaLearner, Mode
from node.mind.meta.tuning import Tuning
from node.mind.meta.undoing import Undoing
from storage.meta_learning import MetaAction
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import running, soon, watching


@dataclass
class Scripted:
    """A case that finds what it is told to and sets `max_depth`."""

    tuning: Tuning
    name: str = "scripted"
    about: str = "one"
    harmless: bool = False
    trying: bool = False
    found: bool = True
    fails: bool = False
    shows: Outlook | None = None
    acted: list[Finding] = field(default_factory=list)

    async def look(self) -> Finding | None:
        if not self.found:
            return None
        return Finding(
            about=self.about,
            text="it could be better",
            action="set the depth",
            measured={"share": 0.5},
            needs={"depth": 5},
            harmless=self.harmless,
        )

    async def act(self, finding: Finding) -> Taken:
        self.acted.append(finding)
        if self.fails:
            raise CasePostponed("there is no model")
        undo = await self.tuning.put("max_depth", finding.needs["depth"])
        return Taken(text="the depth is 5", undo=undo, trying=self.trying)

    async def outlook(self, action: MetaAction) -> Outlook | None:
        return self.shows


def learner_of(mind: Mind, *cases: Scripted, mode: Mode = "propose") -> MetaLearner:
    return MetaLearner(
        database=mind.node.database,
        events=mind.node.events,
        undoing=Undoing(mind.parts.tuning, mind.hive),
        cases=cases,
        mode=mode,
        now=mind.node.clock,
    )


def states(actions: Sequence[MetaAction]) -> list[str]:
    return [action.state for action in actions]


def with_case(path: Path, test: Any, **options: Any) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), path, works=False) as mind:
            await test(mind, Scripted(mind.parts.tuning, **options))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mode", "harmless", "state"),
    [("on", False, "done"), ("on", True, "done"), ("propose", True, "done"), ("propose", False, "proposed")],
)
def test_the_owners_setting_decides_what_is_done_unasked(
    tmp_path: Path, mode: Mode, harmless: bool, state: str
) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        async with watching(mind.node) as events:
            (action,) = await learner_of(mind, case, mode=mode).look()
            assert action.state == state
            assert bool(case.acted) == (state == "done")
            assert mind.parts.tuning.get("max_depth") == (5 if state == "done" else None)
            event = await events.until("learning_action")
            assert event.payload == {"id": action.id, "case": "scripted", "state": state}

    with_case(tmp_path, test, harmless=harmless)


def test_with_off_nothing_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_learner, "LOOK_EVERY_S", 0.0)

    async def test(mind: Mind, case: Scripted) -> None:
        async with watching(mind.node) as events, running(learner_of(mind, case, mode="off").run()):
            async with running(learner_of(mind, case, mode="on").run()):
                await events.until("learning_action")  # the other one does look
            assert len((await learner_of(mind, case).list(10)).items) == 1

    with_case(tmp_path, test)


def test_the_owner_approves_declines_and_takes_back(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case)
        (proposed,) = await learner.look()
        done = await learner.approve(proposed.id)
        assert (done.state, done.action, mind.parts.tuning.get("max_depth")) == ("done", "the depth is 5", 5)
        with pytest.raises(ActionSettled):
            await learner.decline(proposed.id)
        undone = await learner.undo(done.id)
        assert (undone.state, mind.parts.tuning.get("max_depth")) == ("undone", None)
        with pytest.raises(ActionSettled):
            await learner.undo(done.id)
        with pytest.raises(ActionUnknown):
            await learner.undo("nothing")
        assert [action.id for action in (await learner.list(10)).items] == [proposed.id]

    with_case(tmp_path, test)


def test_what_was_declined_or_taken_back_is_not_found_again_for_long(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case)
        (proposed,) = await learner.look()
        await learner.decline(proposed.id)
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        assert await learner.look() == []
        case.about = "another"
        assert states(await learner.look()) == ["proposed"]
        case.about = "one"
        mind.node.clock.advance(QUIET_S + 1)
        assert states(await learner.look()) == ["proposed"]

    with_case(tmp_path, test)


def test_a_case_rests_after_it_has_acted_and_a_day_has_so_many_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_learner, "MAX_A_DAY", 2)

    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case, Scripted(mind.parts.tuning, name="second", about="2"), mode="on")
        assert states(await learner.look()) == ["done", "done"]
        case.about = "another"
        assert await learner.look() == []
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        assert await learner.look() == []  # enough for a day
        mind.node.clock.advance(86_400)
        case.about = "a third"
        assert "done" in states(await learner.look())

    with_case(tmp_path, test)


@pytest.mark.parametrize(
    ("shows", "state", "depth"), [(None, "trying", 5), ("keep", "done", 5), ("revert", "undone", None)]
)
def test_what_is_tried_is_kept_or_taken_back(
    tmp_path: Path, shows: Outlook | None, state: str, depth: int | None
) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case)
        assert states(await learner.look()) == ["trying"]
        case.shows, case.found = shows, False
        await learner.look()
        (action,) = (await learner.list(10)).items
        assert (action.state, mind.parts.tuning.get("max_depth")) == (state, depth)

    with_case(tmp_path, test, harmless=True, trying=True)


def test_what_was_done_is_not_done_again_for_the_same_reason(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case)
        assert states(await learner.look()) == ["done"]
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        assert await learner.look() == []
        case.about = "another"
        assert states(await learner.look()) == ["done"]

    with_case(tmp_path, test, harmless=True)


def test_what_cannot_be_done_now_is_recorded_and_another_case_goes_on(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        other = Scripted(mind.parts.tuning, name="second", harmless=True)
        learner = learner_of(mind, case, other)
        assert [action.matter for action in await learner.look()] == ["second"]
        failed = (await learner.list(10)).items[1]
        assert (failed.state, failed.action) == ("failed", "set the depth: there is no model")

    with_case(tmp_path, test, harmless=True, fails=True)


def test_what_fails_is_tried_again_as_the_same_action_and_uses_up_no_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_learner, "MAX_A_DAY", 3)

    async def test(mind: Mind, case: Scripted) -> None:
        other = Scripted(mind.parts.tuning, name="second", harmless=True, found=False)
        learner = learner_of(mind, case, other)
        for _ in range(3):
            await learner.look()
            mind.node.clock.advance(MIN_BETWEEN_S + 1)
        assert len(case.acted) == 3
        assert states((await learner.list(10)).items) == ["failed"]
        other.found = True
        assert [action.matter for action in await learner.look()] == ["second"]
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        case.fails = False
        assert states(await learner.look()) == ["done"]
        assert sorted(states((await learner.list(10)).items)) == ["done", "done"]

    with_case(tmp_path, test, harmless=True, fails=True)


def test_a_stop_while_acting_leaves_a_trace_and_no_setting_that_nobody_can_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        act = case.act

        async def stop(finding: Finding) -> Taken:
            await act(finding)
            raise asyncio.CancelledError

        await mind.parts.tuning.put("max_depth", 4)
        monkeypatch.setattr(case, "act", stop)
        with pytest.raises(asyncio.CancelledError):
            await learner_of(mind, case).look()
        assert mind.parts.tuning.get("max_depth") == 5
        monkeypatch.setattr(case, "act", act)
        learner = learner_of(mind, case)
        (action,) = (await learner.list(10)).items
        assert (action.state, INTERRUPTED in action.action) == ("failed", True)
        case.found = False
        await learner.look()
        assert mind.parts.tuning.get("max_depth") == 4
        await mind.parts.tuning.put("max_depth", 3)
        await learner.look()
        assert mind.parts.tuning.get("max_depth") == 3  # what was interrupted is taken back once
        case.found = True
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        assert states(await learner.look()) == ["done"]

    with_case(tmp_path, test, harmless=True)


def test_what_was_interrupted_is_taken_back_at_the_next_start_whatever_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        act = case.act

        async def stop(finding: Finding) -> Taken:
            await act(finding)
            raise asyncio.CancelledError

        monkeypatch.setattr(case, "act", stop)
        with pytest.raises(asyncio.CancelledError):
            await learner_of(mind, case).look()
        async with watching(mind.node) as events, running(learner_of(mind, case, mode="off").run()):
            await soon(events.until("learning_action"))
        assert mind.parts.tuning.get("max_depth") is None

    with_case(tmp_path, test, harmless=True)


def test_what_is_over_keeps_nothing_of_what_it_was_about(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case)
        (proposed,) = await learner.look()
        assert (await learner.decline(proposed.id)).needs == {}
        case.about = "another"
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        (proposed,) = await learner.look()
        await learner.approve(proposed.id)
        undone = await learner.undo(proposed.id)
        assert (undone.needs, undone.undo) == ({}, {})
        kept = await learner.get(proposed.id)
        assert (kept.needs, kept.undo) == ({}, {})

    with_case(tmp_path, test)


def test_while_all_work_is_stopped_nothing_is_done_and_what_was_done_can_be_taken_back(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = mind.parts.meta.learner
        learner._cases = {case.name: case}
        (done,) = await learner.look()
        await mind.parts.kill_switch.order(stops=True)
        mind.node.clock.advance(MIN_BETWEEN_S + 1)
        case.about = "another"
        with pytest.raises(WorkStopped):
            await learner.look()
        assert (await learner.undo(done.id)).state == "undone"

    with_case(tmp_path, test, harmless=True)


def test_with_off_nothing_is_looked_for_on_request_either(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        (done,) = await learner_of(mind, case).look()
        off = learner_of(mind, case, mode="off")
        with pytest.raises(LearningOff):
            await off.look()
        assert (await off.undo(done.id)).state == "undone"

    with_case(tmp_path, test, harmless=True)


def test_a_setting_that_was_changed_again_is_not_taken_back_over_that(tmp_path: Path) -> None:
    async def test(mind: Mind, case: Scripted) -> None:
        learner = learner_of(mind, case)
        (done,) = await learner.look()
        await mind.parts.tuning.put("max_depth", 4)
        with pytest.raises(ActionFinal):
            await learner.undo(done.id)
        assert mind.parts.tuning.get("max_depth") == 4
        assert (await learner.get(done.id)).state == "done"

    with_case(tmp_path, test, harmless=True)


def test_settings_survive_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await mind.parts.tuning.put("answered_ttl_s", 7)
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            assert (mind.parts.tuning.get("answered_ttl_s"), mind.parts.answered.ttl_s) == (7, 7)

    asyncio.run(main())
