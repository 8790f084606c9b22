"""What becomes of a verified revision: adopted, quarantined for the owner, or rejected. Pure policy.

By the time a revision is judged its size, CIDs, signature and schema were checked (`protocols.playbook.revision`).
"""

from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did
from protocols.playbook.revision import Revision
from storage.trust import Trust

Status = Literal["adopted", "quarantined", "rejected"]

BLOCKED: Final = "its author is blocked"
"""The reason of a rejection that ends when the owner blocks the author no longer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome and, for the owner, its reason in one line."""

    status: Status
    reason: str


def judge(revision: Revision, *, own: Did, trust: Trust, standing: float) -> Verdict:
    """Decide about a revision by its author and by what the owner wants to see first.

    `standing` is the author's, as seen from here (node/reputation): at or over the owner's threshold, which nobody
    reaches unless the owner lowers it, it is as good as a place on the allow-list.
    """
    author = revision.author
    if author == own:
        return Verdict("adopted", "written here")
    if author in trust.block:
        return Verdict("rejected", BLOCKED)
    named = author in trust.allow
    if not named and standing < trust.reputation_threshold:
        return Verdict("quarantined", "its author is not on the allow-list")
    if not trust.auto_adopt:
        return Verdict("quarantined", "the owner approves each revision (auto_adopt is off)")
    return Verdict(
        "adopted", "its author is on the allow-list" if named else f"its author's standing is {standing:.2f}"
    )
