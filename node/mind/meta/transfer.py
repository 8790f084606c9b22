"""Case 4: goals go far better by one playbook than by another. The best quarter of its rules is tried in the other.

A cluster of twins works by a playbook of its own, so clusters are compared by the success that their playbooks report.
The original: clusters of twins that differ by over 30%: transfer 25% of the leader's rules, A/B on 10 tasks, spread
above +15%. The trial is this twin's own: half of its goals are given the rules. Only what has proved itself becomes a
revision, which the others then judge for themselves.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.hive.judging.alike import meaning_words
from node.hive.judging.duplicates import Lesson
from node.hive.retrieval import usefulness
from node.hive.routing import asked_by
from node.mind.learning.learning import SUCCESS
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.sharing import shared
from node.mind.meta.tuning import Tuning
from protocols.playbook.merge import Bullet, Playbook
from storage import learning as rows
from storage.database import Database
from storage.meta_learning import MetaAction

DIFFERENCE: Final = 0.30
"""By how much the shares of success must differ."""

LEAST_REPORTED: Final = 10
"""Goals that each playbook must have reported on."""

TRANSFERRED: Final = 0.25
"""The share of the leader's rules that is tried: those that are of most use."""

MAX_TRANSFERRED: Final = 20

AB_TASKS: Final = 10
"""Goals that either side needs before it is decided."""

GAIN: Final = 0.15
"""What must go better, as a share of the goals, for the rules to be spread."""


class Playbooks(Protocol):
    """What this needs of the hive."""

    @property
    def names(self) -> Sequence[str]: ...

    async def view(self, name: str) -> Playbook: ...

    async def lessons(self, name: str, *, with_canaries: bool = False) -> Sequence[Lesson]: ...

    async def propose(self, name: str, critique: str, ops: Sequence[Mapping[str, Any]]) -> Cid: ...


class Transfer:
    """Compares the playbooks that are kept here."""

    name: Final = "transfer"

    def __init__(self, database: Database, tuning: Tuning, playbooks: Playbooks) -> None:
        self._database = database
        self._tuning = tuning
        self._playbooks = playbooks

    async def look(self) -> Finding | None:
        """The best and the worst playbook, if they differ that much and the best has something to give."""
        if self._tuning.get("trial") is not None:
            return None
        rates = {}
        for name in self._playbooks.names:
            told = (await self._playbooks.view(name)).metrics.get(SUCCESS)
            if told is not None and told.count >= LEAST_REPORTED:
                rates[name] = told.mean
        if len(rates) < 2:
            return None
        ranked = sorted(rates, key=lambda name: (rates[name], name))
        laggard, leader = ranked[0], ranked[-1]
        if rates[leader] - rates[laggard] <= DIFFERENCE:
            return None
        rules = await self._best(leader, laggard)
        if not rules:
            return None
        return Finding(
            about=f"{leader} to {laggard}",
            text=f"by playbook {leader} {rates[leader]:.0%} of the goals go well, by {laggard} {rates[laggard]:.0%}",
            action=f"give half of the goals of {laggard} {len(rules)} rules of {leader}, and spread them if that helps",
            measured={"leader": round(rates[leader], 3), "laggard": round(rates[laggard], 3)},
            needs={"leader": leader, "laggard": laggard, "rules": [[one.section, one.text] for one in rules]},
        )

    async def act(self, finding: Finding) -> Taken:
        """Begin the trial: from the next goal on, half of them are given the rules."""
        leader, laggard, rules = (finding.needs[key] for key in ("leader", "laggard", "rules"))
        trial = Cid.of(CODEC_RAW, f"{laggard}\n{rules}".encode())
        undo = await self._tuning.put("trial", {"playbook": laggard, "rules": rules, "cid": str(trial)})
        return Taken(text=f"{len(rules)} rules of {leader} are given to half of the goals", undo=undo, trying=True)

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Spread as a revision of ours if so many more goals go well with the rules than without."""
        leader, laggard, rules = (action.needs[key] for key in ("leader", "laggard", "rules"))
        trial = Cid.parse(action.undo["now"]["cid"])
        outcomes = await self._database.read(lambda conn: rows.outcomes(conn, laggard, trial))
        (good, bad), (usual_good, usual_bad) = outcomes["canary"], outcomes["usual"]
        if min(good + bad, usual_good + usual_bad) < AB_TASKS:
            return None
        if good / (good + bad) - usual_good / (usual_good + usual_bad) <= GAIN:
            return "revert"
        with_it, without = f"{good} of {good + bad}", f"{usual_good} of {usual_good + usual_bad}"
        critique = f"Rules of the playbook {leader}: {with_it} goals went well with them, {without} without."
        ops = [{"op": "add", "section": section, "text": text, "tags": ["transferred"]} for section, text in rules]
        undo = await shared(self._playbooks, laggard, critique, ops)
        await self._tuning.put("trial", None)
        return Taken(text=f"{len(rules)} rules of {leader} are spread: {with_it} goals went well", undo=undo)

    async def _best(self, leader: str, laggard: str) -> list[Bullet]:
        """The quarter of the leader's rules that is of most use, without those that the other has word by word."""
        there = await self._playbooks.lessons(laggard, with_canaries=True)
        known = {meaning_words(lesson.bullet.text) for lesson in there}
        rules = [lesson.bullet for lesson in await self._playbooks.lessons(leader) if asked_by(lesson.bullet) is None]
        ranked = sorted(rules, key=lambda bullet: (-usefulness(bullet), bullet.id))
        chosen = ranked[: min(MAX_TRANSFERRED, math.ceil(len(rules) * TRANSFERRED))]
        return [bullet for bullet in chosen if meaning_words(bullet.text) not in known]
