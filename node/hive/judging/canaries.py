"""What becomes of a revision that is tried on a share of the goals, from how these went beside the others. Pure."""

import math
from collections.abc import Mapping
from typing import Final

from storage.judging import Stage
from storage.learning import Arm

LEAST_OUTCOMES: Final = 10
"""Jobs with a known outcome that either side needs before anything is decided."""

DEFAULT_SHARE: Final = 0.2
"""The share of the goals that a canary is tried on unless the owner says otherwise: one in five."""


def canary_stage(share: float) -> Stage:
    """The stage while the comparison goes on."""
    return Stage("canary", "pending", f"tried on {share:.0%} of the goals, and compared with the others")


def compared(outcomes: Mapping[Arm, tuple[int, int]]) -> Stage | None:
    """The stage after the comparison; None while there are too few outcomes.

    Worse is what is worse by more than one standard error of the difference between two shares; so of revisions that
    change nothing about one in six is taken back, and waits for the owner.
    """
    (good, bad), (usual_good, usual_bad) = outcomes["canary"], outcomes["usual"]
    tried, usual = good + bad, usual_good + usual_bad
    if min(tried, usual) < LEAST_OUTCOMES:
        return None
    pooled = (good + usual_good) / (tried + usual)
    error = math.sqrt(pooled * (1 - pooled) * (1 / tried + 1 / usual))
    numbers = f"{good} of {tried} goals went well with it, {usual_good} of {usual} without"
    if good / tried < usual_good / usual - error:
        return Stage("canary", "quarantined", f"taken back: {numbers}")
    return Stage("canary", "passed", f"kept: {numbers}")
