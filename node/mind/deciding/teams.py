"""Who of the swarm works on which part of a goal: by what each can do, how it did before, and how much it has to do.

Templates, which say which twins did well together, are kept in the playbook by whoever learns from outcomes; here they
are only read. Putting a team together is pure but for the embedder.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from identity.did import Did, parse_did
from identity.errors import PagiError
from node.inference.embedder import Embedder
from node.mind.actions import Candidate
from node.mind.relevance import topic_likeness
from node.swarm import KnownTwin
from node.trust import TrustList

MIN_LIKENESS: Final = 0.6
"""Cosine of a part and what a twin can do from which the twin may work on it."""

MAX_TEAM: Final = 8
MAX_CANDIDATES: Final = 64
"""Twins that are compared for one goal: each brings up to a few dozen texts to embed."""

MAX_TEMPLATES: Final = 64
MAX_TOPICS: Final = 8

UNKNOWN_WEIGHT: Final = 0.5
"""What the likeness of a twin without standing weighs; with a reputation of 1 it weighs 1."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A part of a goal, and the twin that is to work on it. `score` is what spoke for it, from 0 to 1."""

    part: str
    did: Did
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Team:
    """The assignments, in the order of the parts, and the parts that nobody fits."""

    assignments: tuple[Assignment, ...]
    alone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TeamTemplate:
    """A team that did well, as a playbook keeps it: `[sub_agents.templates]`, name → [{did, topics}]."""

    name: str
    agents: tuple[Did, ...]
    topics: tuple[str, ...]


def template_for(goal: str, templates: Mapping[str, Any], *, embedder: Embedder) -> TeamTemplate | None:
    """The template whose topics are most like the goal, if one is like it at all. Embeds: call it in a thread.

    Others write templates too: what is not made as it should be is passed over.
    """
    read = [one for name, body in list(templates.items())[:MAX_TEMPLATES] if (one := _template(name, body)) is not None]
    if not read:
        return None
    likeness = topic_likeness(embedder, goal, [one.topics for one in read])
    best = max(range(len(read)), key=lambda index: likeness[index])
    return read[best] if likeness[best] > MIN_LIKENESS else None


def _template(name: str, body: Any) -> TeamTemplate | None:
    """A template as the playbook has it; None if it is none."""
    if not isinstance(body, Sequence) or isinstance(body, str) or not 1 <= len(body) <= MAX_TEAM:
        return None
    agents: list[Did] = []
    topics: list[str] = []
    for agent in body:
        try:
            agents.append(parse_did(str(agent["did"])))
            topics += [str(topic) for topic in list(agent["topics"])[:MAX_TOPICS]]
        except (PagiError, KeyError, TypeError):
            return None
    return TeamTemplate(name, tuple(agents), tuple(topics)) if topics else None


def team_for(
    parts: Sequence[str],
    twins: Sequence[KnownTwin],
    *,
    embedder: Embedder,
    load: Mapping[Did, int] | None = None,
    template: TeamTemplate | None = None,
) -> Team:
    """Assign each part to the twin that fits it best; parts that no twin fits stay with whoever asks.

    `twins` are those that may be asked: named, online. `load` is how many tasks each has already, and each part that it
    is given counts as one more. Members of `template` go before others that fit as well. Embeds: call it in a thread.
    """
    usual = set(template.agents) if template is not None else set()
    # Whoever is asked of many goes first by standing: the bound must not be filled by whoever announces most.
    ranked = sorted(twins, key=lambda twin: (twin.did not in usual, -twin.reputation, twin.did))[:MAX_CANDIDATES]
    busy = dict(load or {})
    assignments: list[Assignment] = []
    alone: list[str] = []
    for part in parts:
        likeness = topic_likeness(embedder, part, [_abilities(twin) for twin in ranked]) if ranked else []
        fitting = [(twin, alike) for twin, alike in zip(ranked, likeness, strict=True) if alike > MIN_LIKENESS]
        members = {one.did for one in assignments}
        if len(members) >= MAX_TEAM:
            fitting = [(twin, alike) for twin, alike in fitting if twin.did in members]
        if not fitting:
            alone.append(part)
            continue
        twin, alike = max(fitting, key=lambda each: _promise(each[0], each[1], busy, usual))
        busy[twin.did] = busy.get(twin.did, 0) + 1
        assignments.append(Assignment(part, twin.did, twin.name, round(alike, 4)))
    return Team(tuple(assignments), tuple(alone))


def _promise(twin: KnownTwin, alike: float, busy: Mapping[Did, int], usual: set[Did]) -> tuple[float, bool, Did]:
    """What speaks for a twin: likeness, weighed by standing, shared among what it has to do."""
    weight = UNKNOWN_WEIGHT + (1 - UNKNOWN_WEIGHT) * max(0.0, min(1.0, twin.reputation))
    return alike * weight / (1 + busy.get(twin.did, 0)), twin.did in usual, twin.did


def _abilities(twin: KnownTwin) -> tuple[str, ...]:
    return (*twin.topics, *(capability.replace("_", " ") for capability in twin.capabilities))


class KnownTwins(Protocol):
    """What this needs of the directory."""

    async def twins(self) -> Sequence[KnownTwin]: ...


Templates = Callable[[], Awaitable[Mapping[str, Any]]]
"""The templates of the playbook: name → [{did, topics}]."""


class Teams:
    """Puts teams together of the twins that the owner named and that are there."""

    def __init__(
        self, *, own: Did, directory: KnownTwins, trust: TrustList, embedder: Embedder, templates: Templates
    ) -> None:
        self._own = own
        self._directory = directory
        self._trust = trust
        self._embedder = embedder
        self._templates = templates

    async def assigned(self, goal: str, parts: Sequence[str]) -> dict[str, Candidate]:
        """For each part of a goal that a twin fits, the twin to ask first. Nobody is asked here."""
        there = [
            twin
            for twin in await self._directory.twins()
            if twin.did != self._own and twin.online and twin.topics and self._trust.allows(twin.did)
        ]
        if not there:
            return {}
        templates = await self._templates()

        def compose() -> Team:
            template = template_for(goal, templates, embedder=self._embedder)
            return team_for(parts, there, embedder=self._embedder, template=template)

        team = await asyncio.to_thread(compose)
        topics = {twin.did: twin.topics for twin in there}
        return {one.part: Candidate(one.did, one.name, topics[one.did], one.score) for one in team.assignments}
