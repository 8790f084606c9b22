"""What becomes of a revision, from how it came through the stages. Pure policy.

The verdict is a function of the stages and of nothing else, so two nodes with the same trust settings, red lines and
no checks of their own decide alike, in whatever order the revisions come.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from storage.judging import Stage, StageName

Status = Literal["adopted", "canary", "quarantined", "rejected"]
"""`canary`: adopted for a share of the goals, and compared. `quarantined`: waits for the owner, or for its trial."""

DECIDING: tuple[StageName, ...] = ("limits", "signature", "schema", "author", "red_lines", "duplicates", "gate")
"""The stages that a revision passes on its own, in their order."""

assert get_args(StageName)[: len(DECIDING)] == DECIDING


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome and, for the owner, its reason in one line."""

    status: Status
    reason: str


def verdict_of(stages: Iterable[Stage]) -> Verdict:
    """The first stage that rejects decides, else the first that quarantines; the owner's word stands above them.

    Only a blocked author stands above that: whatever it wrote is rejected for as long as it is blocked.
    """
    by_name = {stage.name: stage for stage in stages}
    author, owner, canary = by_name["author"], by_name.get("owner"), by_name.get("canary")
    if author.outcome == "rejected":
        return Verdict("rejected", author.reason)
    if owner is not None and owner.outcome == "rejected":
        return Verdict("rejected", owner.reason)
    if owner is None:
        own_way = [by_name[name] for name in DECIDING if name in by_name]
        for outcome, status in _WORST_FIRST:
            for stage in own_way:
                if stage.outcome == outcome:
                    return Verdict(status, stage.reason)
    if canary is not None and canary.outcome in ("pending", "quarantined"):
        return Verdict("canary" if canary.outcome == "pending" else "quarantined", canary.reason)
    return Verdict("adopted", (owner or author).reason)


_WORST_FIRST: tuple[tuple[str, Status], ...] = (
    ("rejected", "rejected"),
    ("quarantined", "quarantined"),
    ("pending", "quarantined"),
)
