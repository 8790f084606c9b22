"""Places that did not answer rest for a while, so that a dead one costs its timeout once and not for every message."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols import limits

_SHORTER: Final = 0.7
"""A place rests a little shorter than the message that found it dead waits: that one's next attempt is to be one."""


@dataclass(slots=True)
class _Circuit:
    failures: int
    closed_at_s: float


class Circuits:
    """Which places rest. The pauses are those of a message: they double, up to a most."""

    def __init__(self, first_s: float, most_s: float, now_s: Callable[[], float]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._now_s = now_s
        self._resting: OrderedDict[str, _Circuit] = OrderedDict()

    def rests(self, place: str) -> bool:
        """Whether this place is not to be tried now."""
        circuit = self._resting.get(place)
        return circuit is not None and circuit.closed_at_s > self._now_s()

    def failed(self, place: str) -> None:
        """It did not answer."""
        circuit = self._resting.pop(place, None) or _Circuit(0, 0.0)
        pause_s = min(self._first_s * 2 ** min(circuit.failures, 16), self._most_s) * _SHORTER
        self._resting[place] = _Circuit(circuit.failures + 1, self._now_s() + pause_s)
        if len(self._resting) > limits.MAX_CIRCUITS:
            self._resting.popitem(last=False)

    def worked(self, place: str) -> None:
        """It answered."""
        self._resting.pop(place, None)
