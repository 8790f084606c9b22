"""Case 6: twins that together did several goals of several parts well become a team that the playbook remembers.

The original: tasks of several domains: compose a team by likeness over 0.6, keep it as a template above 75% success.
Composing is the mind's affair while it works; here it is looked at how it went. A template names twins and the topics
that they advertise themselves, both of which are public.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.metrics import Metrics
from node.mind.meta.sharing import Playbooks, shared
from storage import traces
from storage.database import Database
from storage.meta_learning import MetaAction

MIN_SUCCESS: Final = 0.75
"""The share of its goals that a team must have done well."""

LEAST_GOALS: Final = 4
MAX_MEMBERS: Final = 8

MAX_GOALS: Final = 200
"""Goals of several parts that are looked at, the newest."""

MAX_STEPS: Final = 64


class Teams:
    """Looks at goals that were done in parts, and by whom."""

    name: Final = "teams"

    def __init__(self, database: Database, metrics: Metrics, playbooks: Playbooks, *, playbook: str) -> None:
        self._database = database
        self._metrics = metrics
        self._playbooks = playbooks
        self._playbook = playbook

    async def look(self) -> Finding | None:
        """The team that has done the most goals, if it did them well and is no template yet."""
        tried: Counter[tuple[str, ...]] = Counter()
        good: Counter[tuple[str, ...]] = Counter()
        topics: dict[str, tuple[str, ...]] = {}
        jobs = await self._metrics.jobs()
        parents = {job.parent_id for job in jobs if job.parent_id is not None}
        for job in [one for one in jobs if one.job_id in parents][:MAX_GOALS]:
            members = await self._members(job.job_id)
            topics |= members
            team = tuple(sorted(members))
            if 2 <= len(team) <= MAX_MEMBERS:
                tried[team] += 1
                good[team] += job.outcome == "good" or (job.outcome == "unknown" and job.status == "done")
        templates = (await self._playbooks.view(self._playbook)).templates
        for team, goals in tried.most_common():
            if goals < LEAST_GOALS or good[team] <= MIN_SUCCESS * goals or _is_known(team, templates):
                continue
            agents = [{"did": did, "topics": list(topics[did][:8])} for did in team]
            return Finding(
                about=" ".join(team),
                text=f"{len(team)} twins together did {good[team]} of {goals} goals of several parts well",
                action=f"keep them as a team in the playbook {self._playbook}",
                measured={"goals": goals, "good": good[team]},
                needs={"name": _name_of(agents), "agents": agents},
            )
        return None

    async def act(self, finding: Finding) -> Taken:
        """A revision of ours that adds the template."""
        ops = [{"op": "template", "name": finding.needs["name"], "body": finding.needs["agents"]}]
        critique = f"This team did {finding.measured['good']:.0f} of {finding.measured['goals']:.0f} goals well."
        undo = await shared(self._playbooks, self._playbook, critique, ops)
        return Taken(text=f"template {finding.needs['name']}", undo=undo)

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """It had proved itself before."""
        return "keep"

    async def _members(self, parent_id: str) -> dict[str, tuple[str, ...]]:
        """The twins whose answers helped with the parts of a goal, with their topics."""

        def read(conn: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
            found = {}
            for part in traces.children_of(conn, parent_id):
                for action, given, output in traces.steps_of(conn, part, MAX_STEPS):
                    answer = output.get("answer")
                    if action == traces.ASKED and isinstance(answer, dict) and answer.get("answer"):
                        found[str(given.get("did"))] = tuple(map(str, given.get("topics", ())))
            return found

        return await self._database.read(read)


def _is_known(team: Sequence[str], templates: Mapping[str, Any]) -> bool:
    for body in templates.values():
        agents = body if isinstance(body, Sequence) and not isinstance(body, str) else ()
        if sorted(str(one.get("did")) for one in agents if isinstance(one, Mapping)) == sorted(team):
            return True
    return False


def _name_of(agents: Sequence[Mapping[str, Any]]) -> str:
    """A name that says what the team is for: the first topic of each."""
    first = [str(agent["topics"][0]) for agent in agents if agent["topics"]]
    return " and ".join(first)[:60] or f"team of {len(agents)}"
