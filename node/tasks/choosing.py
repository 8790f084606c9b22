"""Who gets a task: the bid that promises most, weighed by the bidder's standing here. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from identity.did import Did
from storage.tasks import ContractRow

UNKNOWN_WEIGHT: Final = 0.5
"""What a promise of a twin without standing weighs; with a standing of 1 it would weigh 1."""


def best(bids: Sequence[ContractRow], standings: Mapping[Did, float]) -> ContractRow | None:
    """The bid to take; of equal ones the quicker. None if there is none."""

    def promise(bid: ContractRow) -> tuple[float, int, str]:
        weight = UNKNOWN_WEIGHT + (1 - UNKNOWN_WEIGHT) * standings.get(bid.peer, 0.0)
        return -bid.confidence * weight, bid.eta_s, bid.peer

    return min(bids, key=promise, default=None)
