"""Token buckets: how much of something may be taken, on average and at once. The caller brings the time."""

from collections import OrderedDict
from collections.abc import Hashable


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate_per_s` of them each second. It starts full."""

    __slots__ = ("_burst", "_last_s", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        assert rate_per_s > 0
        assert burst > 0
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last_s: float | None = None

    def allow(self, now_s: float, cost: float = 1) -> bool:
        """Take `cost` tokens if there are so many. `now_s` is monotonic; a step back gains and loses nothing."""
        if self._last_s is None:
            self._last_s = now_s
        if now_s > self._last_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._last_s) * self._rate_per_s)
            self._last_s = now_s
        if cost > self._tokens:
            return False
        self._tokens -= cost
        return True

    def give_back(self, cost: float = 1) -> None:
        """Put back what was taken for something that turned out not to count."""
        self._tokens = min(self._burst, self._tokens + cost)


class KeyedBuckets:
    """One bucket for each key, for at most `max_keys` keys.

    When a further key comes, the one that was silent longest is forgotten. It starts full if it returns, so `max_keys`
    must be well over the number of peers that can speak within `burst / rate_per_s` seconds.
    """

    def __init__(self, rate_per_s: float, burst: float, max_keys: int) -> None:
        assert max_keys > 0
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, key: Hashable, now_s: float, cost: float = 1) -> bool:
        """Take `cost` tokens from the bucket of `key` if there are so many."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._max_keys:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = TokenBucket(self._rate_per_s, self._burst)
        else:
            self._buckets.move_to_end(key)
        return bucket.allow(now_s, cost)

    def give_back(self, key: Hashable, cost: float = 1) -> None:
        """Put back what was taken from the bucket of `key`."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.give_back(cost)
