"""The stage of the author: whether the owner wants to be taught by whoever signed a revision. Pure policy."""

from typing import Final

from identity.did import Did
from storage.judging import Stage
from storage.trust import Trust

BLOCKED: Final = "its author is blocked"
WRITTEN_HERE: Final = "written here"


def author_stage(author: Did, *, own: Did, trust: Trust, standing: float) -> Stage:
    """Decide by the author, and by whether the owner wants to see everything first.

    `standing` is the author's, as seen from here (node/reputation): at or over the owner's threshold, which nobody
    reaches unless the owner lowers it, it is as good as a place on the allow-list.
    """
    if author == own:
        return Stage("author", "passed", WRITTEN_HERE)
    if author in trust.block:
        return Stage("author", "rejected", BLOCKED)
    if not may_teach(author, own=own, trust=trust, standing=standing):
        return Stage("author", "quarantined", "its author is not on the allow-list")
    if not trust.auto_adopt:
        return Stage("author", "quarantined", "the owner approves each revision (auto_adopt is off)")
    named = author in trust.allow
    return Stage(
        "author", "passed", "its author is on the allow-list" if named else f"its author's standing is {standing:.2f}"
    )


def may_teach(author: Did, *, own: Did, trust: Trust, standing: float) -> bool:
    """Whether the owner named the author, or lets it in by its standing."""
    if author in trust.block:
        return False
    return author == own or author in trust.allow or standing >= trust.reputation_threshold
