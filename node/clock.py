"""Time. Components take the clock as an argument, so that tests can turn its hands."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

NowMs = Callable[[], int]
"""Unix time in milliseconds."""

LAST_MS: Final = 253_402_300_799_000
"""The last second of the year 9999."""


def now_ms() -> int:
    """Unix time in milliseconds, from the system clock."""
    return time.time_ns() // 1_000_000


def rfc3339(time_ms: int) -> str:
    """A Unix time in milliseconds as RFC 3339 text in UTC, such as `2026-11-20T05:12:00.250Z`.

    What others say may be later than any date that has such a form: then the last one that has.
    """
    moment = datetime.fromtimestamp(min(time_ms, LAST_MS) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class MachineZone(tzinfo):
    """The machine's own time zone, with the offset that it has at each moment, not only now."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


async def wait_within(event: asyncio.Event, timeout_s: float | None) -> None:
    """Wait until the event is set, for so long at most; None is for as long as it takes."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
