"""The trust pipeline: a verified revision goes through the stages, each with its outcome and a reason in one line.

What checks of this node's own say apart, the outcome is a function of the revision, the trust settings, the standing
of its author and the red lines. It is the same in whatever order revisions come.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import Did
from node.clock import NowMs, now_ms, rfc3339
from node.config import HiveConfig
from node.hive.judging.author import author_stage, may_teach
from node.hive.judging.canaries import canary_stage
from node.hive.judging.checks import Checks
from node.hive.judging.duplicates import Duplicates
from node.hive.judging.errors import RedLineCrossed
from node.hive.judging.gate import MAX_CHECKS_OF_ONE, changed_bullets, unmeasured_stage, waiting_stage
from node.hive.judging.texts import ethics_changed, texts_of
from node.red_lines.red_lines import Found, RedLines
from node.reputation.reputation import Reputation
from node.trust import TrustList
from protocols import limits
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.ops import Add
from protocols.playbook.revision import Revision, SignedRevision
from storage.judging import Stage
from storage.trust import Trust

Stages = tuple[Stage, ...]

EARLY: Final = "its time has not come, so it is judged then"

NOT_TRIED_FIRST: Final = "not tried: the stages before do not let it through"


class Judging:
    """Judges revisions. `no_model` says why nothing can be tried on this node; None if something can."""

    def __init__(
        self,
        *,
        own: Did,
        config: HiveConfig,
        trust: TrustList,
        reputation: Reputation,
        red_lines: RedLines,
        duplicates: Duplicates,
        checks: Checks,
        no_model: Callable[[], str | None],
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._now = now
        self._config = config
        self._trust = trust
        self._reputation = reputation
        self._red_lines = red_lines
        self._duplicates = duplicates
        self._checks = checks
        self._no_model = no_model

    async def judge(
        self,
        revisions: Sequence[SignedRevision],
        current: Playbook,
        *,
        trust: Trust | None = None,
        before: Mapping[Cid, Sequence[Stage]] | None = None,
        measured: Collection[Cid] = (),
    ) -> list[Stages]:
        """The stages of revisions of one playbook, which is `current` now.

        `before` are the stages of those that were judged already: the owner's word and a canary's comparison stay.
        `measured` are those that have been tried here: they are not tried again.
        """
        trust = trust or self._trust.current
        authors = {signed.revision.author for signed in revisions}
        standings: dict[Did, float] = {did: await self.standing(did, trust) for did in authors}
        twice = await self._said_twice(revisions, current)
        crossed = await self._red_lines.crossed_each([texts_of(signed.revision) for signed in revisions])
        judged: list[Stages] = []
        for signed, found in zip(revisions, crossed, strict=True):
            revision = signed.revision
            kept = {stage.name: stage for stage in (before or {}).get(signed.cid, ())}
            author = author_stage(revision.author, own=self._own, trust=trust, standing=standings[revision.author])
            stages = [*self._verified(signed), author]
            if author.outcome != "rejected":
                stages.append(red_lines_stage(revision, found, own=self._own))
                stages.append(duplicates_stage(signed, twice.get(signed.cid, 0)))
                may_try = stages[-2].outcome == "passed" and may_teach(
                    revision.author, own=self._own, trust=trust, standing=standings[revision.author]
                )
                gate = kept.get("gate") if signed.cid in measured else None
                stages.append(gate or await self._gate_stage(revision, current, may_try=may_try))
            if "owner" not in kept and "canary" not in kept and self._is_staged(signed.revision):
                stages.append(canary_stage(self._config.canary_share))
            stages += [kept[name] for name in ("canary", "owner") if name in kept]
            judged.append(tuple(stages))
        return judged

    async def standing(self, author: Did, trust: Trust) -> float:
        """The standing of an author, as far as it matters."""
        if author == self._own or author in trust.allow or trust.reputation_threshold >= 1:
            return 0.0
        return (await self._reputation.of(author)).score

    async def check_own(self, revision: Revision, *, anyway: bool) -> None:
        """Raise RedLineCrossed if a revision of ours crosses a red line; what is only like one passes with `anyway`."""
        for hit in (await self._red_lines.crossed_each([texts_of(revision)]))[0].hits:
            if hit.certain or not anyway:
                raise RedLineCrossed(hit.in_words())

    def _is_staged(self, revision: Revision) -> bool:
        """Whether a revision is to be tried on a share of the goals first, by the owner's setting."""
        adds = any(isinstance(op, Add) for op in revision.ops)
        return self._config.canary_share > 0 and adds and revision.author != self._own

    def _verified(self, signed: SignedRevision) -> list[Stage]:
        """What `verify_revision` has checked before anything is judged: a revision that failed it never comes so far.

        A time that has not come yet decides nothing here but when: every node judges such a revision once it has come.
        """
        revision = signed.revision
        size_bytes = len(signed.envelope_block) + len(signed.payload_block)
        count = len(revision.ops)
        limits_stage = Stage(
            "limits", "passed", f"{count} operation{'s' if count != 1 else ''} in {size_bytes:,} bytes"
        )
        if revision.author != self._own and is_early(revision.ts, self._now()):
            limits_stage = Stage("limits", "pending", f"{EARLY}: {rfc3339(revision.ts)}")
        return [
            limits_stage,
            Stage("signature", "passed", "its author signed it"),
            Stage("schema", "passed", f"a revision of height {revision.height}"),
        ]

    async def _said_twice(self, revisions: Sequence[SignedRevision], current: Playbook) -> Mapping[Cid, int]:
        """How many bullets of each revision say what another one says: all are compared in one go."""
        added = [bullet for signed in revisions for bullet in added_bullets(signed)]
        pairs = await self._duplicates.pairs(current, added, keep=False, among=False)
        twice = {key for pair in pairs for key in (pair.a, pair.b)}
        return Counter(bullet.revision for bullet in added if bullet.id in twice)

    async def _gate_stage(self, revision: Revision, current: Playbook, *, may_try: bool) -> Stage:
        mode = self._config.gate
        if revision.author == self._own:
            return Stage("gate", "passed", "written here: not tried")
        if mode == "off":
            return Stage("gate", "noted", "not tried: the gate is off")
        if not may_try:
            return Stage("gate", "noted", NOT_TRIED_FIRST)
        texts = changed_bullets(revision, current)
        if not texts:
            return Stage("gate", "passed", "it changes no bullet: there is nothing to try")
        if (why := self._no_model()) is not None:
            return unmeasured_stage(why, mode)
        checks = await self._checks.fitting(revision.playbook, texts, most=MAX_CHECKS_OF_ONE)
        return waiting_stage(len(checks)) if checks else unmeasured_stage("no check of yours fits", mode)


def is_early(ts_ms: int, now_ms: int) -> bool:
    """Whether a revision says that it was made later than clocks may differ."""
    return ts_ms > now_ms + limits.CLOCK_SKEW_S * 1000


def added_bullets(signed: SignedRevision) -> list[Bullet]:
    """The bullets that a revision adds, with nothing counted of them."""
    revision = signed.revision
    return [
        Bullet(op.id, op.section, op.text, op.tags, 0, 0, revision.author, signed.cid)
        for op in revision.ops
        if isinstance(op, Add)
    ]


def duplicates_stage(signed: SignedRevision, twice: int) -> Stage:
    """Nothing is refused for being said twice; it is noted, with the number of bullets."""
    if not added_bullets(signed):
        return Stage("duplicates", "passed", "it adds no bullet")
    if not twice:
        return Stage("duplicates", "passed", "nothing that says the same is here")
    return Stage("duplicates", "noted", f"bullets that say what another one says, shown as one: {twice}")


def red_lines_stage(revision: Revision, found: Found, *, own: Did) -> Stage:
    """What was said is rejected; what is only like a red line, or changes our ethics, is for a person to look at."""
    certain = next((hit for hit in found.hits if hit.certain), None)
    if certain is not None:
        return Stage("red_lines", "rejected", certain.in_words())
    if revision.author == own:
        return Stage("red_lines", "passed", "it crosses none of your red lines")
    if any(ethics_changed(op) for op in revision.ops):
        return Stage("red_lines", "quarantined", "it changes the settings under 'ethics', which nobody else may")
    if found.hits:
        return Stage("red_lines", "quarantined", max(found.hits, key=lambda hit: hit.likeness or 0.0).in_words())
    if not found.whole:
        return Stage("red_lines", "quarantined", "it has too many sentences to compare them all with the red lines")
    return Stage("red_lines", "passed", "it crosses none of your red lines")
