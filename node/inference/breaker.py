"""A circuit breaker: whoever failed several times in a row is left alone for a while, and then tried once.

Pure: the time is an argument, in seconds of any clock that only goes forward.

    closed --(FAILURES in a row, or told how long to stay away)--> open --(rested)--> half open
    half open --(one trial succeeds)--> closed        half open --(it fails)--> open, for twice as long
"""

from typing import Final

FAILURES: Final = 3
"""In a row until it opens: one may be chance, and each further one costs somebody a wait."""

FIRST_REST_S: Final = 10.0
MOST_REST_S: Final = 300.0
"""A provider that was down for an hour is found to be back within five minutes."""


class Breaker:
    """The state of one provider. Whoever was let in by `enter` tells how it ended: succeeded, failed or left."""

    def __init__(self) -> None:
        self._failures = 0
        self._rest_s = FIRST_REST_S
        self._open_until: float | None = None
        self._trying = False

    def rests_s(self, now_s: float) -> float:
        """How long it will not be asked yet; 0 while it may be."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now_s)

    def enter(self, now_s: float) -> bool:
        """Whether it may be asked now. Once it has rested only one caller may, until that one tells how it went."""
        if self._open_until is None:
            return True
        if now_s < self._open_until or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """It answered."""
        self._failures, self._rest_s, self._open_until, self._trying = 0, FIRST_REST_S, None, False

    def failed(self, now_s: float, *, away_s: float | None = None) -> None:
        """It did not answer. `away_s` is how long it is to be left alone, where that is known."""
        if not self._trying and self.rests_s(now_s):
            return  # asked before it opened: says nothing new
        self._failures += 1
        if away_s is not None:
            self._open_until = now_s + min(away_s, MOST_REST_S)
        elif self._trying or self._failures >= FAILURES:
            self._open_until = now_s + self._rest_s
            self._rest_s = min(2 * self._rest_s, MOST_REST_S)
        self._trying = False

    def left(self) -> None:
        """The caller went away before it was known."""
        self._trying = False
