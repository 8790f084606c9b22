"""The built-in clock: what time it is.

The clock itself is an argument, so that a test, or a twin that replays, decides what now is.
"""

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from plugins.sdk import Plugin, ToolError, tool

HERE = "here"
"""Stands for the machine's own time zone."""


def plugin(now: Callable[[], datetime]) -> Plugin:
    """The plugin over a clock. `now` gives the time with its time zone."""

    @tool(description="Tells the current date and time.", effect="none")
    async def clock(
        timezone: Annotated[str, "an IANA time zone such as Europe/Berlin"] = HERE,
    ) -> dict[str, str]:
        moment = now().astimezone(None if timezone == HERE else _zone(timezone))
        return {
            "iso": moment.isoformat(timespec="seconds"),
            "date": moment.date().isoformat(),
            "time": moment.strftime("%H:%M:%S"),
            "weekday": _WEEKDAYS[moment.weekday()],
            "timezone": moment.tzname() or timezone if timezone == HERE else timezone,
            "utc_offset": _offset(moment.utcoffset()),
        }

    return Plugin(name="clock", version="1.0.0", tools=(clock,), skills=Path(__file__).with_name("SKILLS.md"))


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""Not strftime: that speaks the machine's language."""


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a directory, or an overlong one
        raise ToolError(f"no time zone {name[:64]!r} is known on this machine") from None


def _offset(offset: timedelta | None) -> str:
    minutes = int((offset or timedelta()).total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
