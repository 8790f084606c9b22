"""The two clocks of the node. Components take them as arguments, so that tests can turn the hands."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

NowMs = Callable[[], int]
"""Unix time in milliseconds."""


def now_ms() -> int:
    """Unix time in milliseconds, from the system clock."""
    return time.time_ns() // 1_000_000


def rfc3339(time_ms: int) -> str:
    """A Unix time in milliseconds as RFC 3339 text in UTC, such as `2026-11-20T05:12:00.250Z`."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
