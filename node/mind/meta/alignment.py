"""Case 7: what twins say of the playbook's rules, each by its standing, is worse than it should be.

The original: alignment below 0.9: feedback signed by credentials, weighted by reputation, shifts weights and adds red
lines. Every count of a bullet is signed by its author, in a revision; what it weighs is the author's standing, which
reputation credentials are a part of (node/reputation). What is clearly found harmful is taken out, and becomes a red
line of the owner's if she agrees.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from identity.cid import Cid
from identity.did import Did
from node.hive.judging.duplicates import Lesson
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.sharing import shared
from node.red_lines.errors import TooManyRedLines
from node.red_lines.red_lines import MAX_LINE_CHARS, RedLines
from node.reputation.reputation import Reputation
from protocols.playbook.merge import Bullet, Playbook
from storage.meta_learning import MetaAction

ALIGNED: Final = 0.90
"""The share of all weight that should find rules helpful."""

LEAST_WEIGHT: Final = 5.0
"""Weight of all counts together before that share says anything: five of the owner's own twin's."""

HARMFUL_FROM: Final = 2.0
"""Weight against a rule, after what is for it, from which it is taken out."""

MOST_OF_ONE: Final = 5
"""Counts of one author that matter for one rule."""

MAX_TAKEN_OUT: Final = 10


class Playbooks(Protocol):
    """What this needs of the hive."""

    red_lines: RedLines

    async def view(self, name: str) -> Playbook: ...

    async def lessons(self, name: str, *, with_canaries: bool = False) -> Sequence[Lesson]: ...

    async def propose(self, name: str, critique: str, ops: Sequence[Mapping[str, Any]]) -> Cid: ...


class Alignment:
    """Looks at what was counted of the rules in effect."""

    name: Final = "alignment"

    def __init__(self, own: Did, playbooks: Playbooks, reputation: Reputation, *, playbook: str) -> None:
        self._own = own
        self._playbooks = playbooks
        self._reputation = reputation
        self._playbook = playbook

    async def look(self) -> Finding | None:
        """The rules that are found harmful, if the whole is that badly aligned."""
        scores = await self._reputation.scores()
        bullets = [lesson.bullet for lesson in await self._playbooks.lessons(self._playbook)]
        weighed = [(bullet, *self._weigh(bullet, scores)) for bullet in bullets]
        good, bad = sum(w[1] for w in weighed), sum(w[2] for w in weighed)
        if good + bad < LEAST_WEIGHT or good >= ALIGNED * (good + bad):
            return None
        harmful = sorted((w for w in weighed if w[2] - w[1] >= HARMFUL_FROM), key=lambda w: (w[1] - w[2], w[0].id))
        out = [bullet for bullet, _, _ in harmful[:MAX_TAKEN_OUT]]
        if not out:
            return None
        return Finding(
            about=" ".join(sorted(bullet.id for bullet in out)),
            text=f"{good / (good + bad):.0%} of what twins say of the rules in {self._playbook} is good",
            action=f"take out {len(out)} of them, and let what they say be a red line",
            measured={"alignment": round(good / (good + bad), 3), "weight": round(good + bad, 2)},
            needs={"bullets": [bullet.id for bullet in out], "texts": [bullet.text for bullet in out]},
        )

    async def act(self, finding: Finding) -> Taken:
        """A revision of ours that takes the rules out, and a red line by meaning for each that is short enough."""
        ops = [{"op": "remove", "id": bullet} for bullet in finding.needs["bullets"]]
        critique = "By the standing of those who counted them these rules do harm."
        undo = await shared(self._playbooks, self._playbook, critique, ops)
        lines = []
        known = {line.text for line in self._playbooks.red_lines.lines}
        for text in finding.needs["texts"]:
            if len(text) > MAX_LINE_CHARS or text in known:
                continue
            try:
                lines.append((await self._playbooks.red_lines.add("meaning", text)).id)
            except TooManyRedLines:
                break
        text = f"{len(ops)} rules are out, and {len(lines)} red lines are new"
        return Taken(text=text, undo={**undo, "red_lines": lines})

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """The owner has agreed to it."""
        return "keep"

    def _weigh(self, bullet: Bullet, scores: Mapping[Did, float]) -> tuple[float, float]:
        """What is for a rule and what against it: each author's counts by its standing, our own whole."""
        good = bad = 0.0
        for author, (helpful, harmful) in bullet.counts.items():
            weight = 1.0 if author == self._own else scores.get(author, 0.0)
            good += weight * min(helpful, MOST_OF_ONE)
            bad += weight * min(harmful, MOST_OF_ONE)
        return good, bad
