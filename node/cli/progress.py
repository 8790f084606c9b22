"""Progress of long work, for a person at a terminal or a log: on stderr, and only when there is something new."""

import sys
import time
from collections.abc import Callable
from typing import Final

_STEP_PERCENT: Final = 10
"""Without a terminal a line for each tenth is enough."""

_STEP_S: Final = 0.5
"""Where nobody knows how much it will be, a terminal is told so often, and a log at each doubling."""

_RATED_S: Final = 1.0
"""Before that a rate says more about the beginning than about the work."""


def bytes_progress(
    title: str, *, quiet_s: float = 0.0, now_s: Callable[[], float] = time.monotonic
) -> Callable[[int, int | None], None]:
    """A callback `(bytes so far, total if known)` that shows how far `title` has come, how fast, and how long it takes.

    Nothing is shown of work that is over within `quiet_s`.
    """
    began: tuple[float, int] | None = None
    shown = -1
    shown_s = 0.0

    def show(done: int, total: int | None) -> None:
        nonlocal began, shown, shown_s
        now = now_s()
        if began is None:
            began = (now, done)
        at_terminal = sys.stderr.isatty()
        percent = min(100, done * 100 // total) if total else 0
        if total:
            step = percent if at_terminal else percent // _STEP_PERCENT
            fresh = step != shown
        else:
            step = done.bit_length()
            fresh = now - shown_s >= _STEP_S if at_terminal else step != shown
        ended = percent == 100
        if not fresh or now - began[0] < quiet_s or (shown == -1 and quiet_s and ended):
            return
        shown, shown_s = step, now
        line = f"{title}: {amount(done)}" + (f" of {amount(total)} ({percent} %)" if total else "")
        line += _pace(now - began[0], done - began[1], total - done if total else None)
        sys.stderr.write(("\r\x1b[K" if at_terminal else "") + line + ("\n" if ended or not at_terminal else ""))
        sys.stderr.flush()

    return show


def _pace(elapsed_s: float, done: int, left: int | None) -> str:
    if elapsed_s < _RATED_S or done <= 0:
        return ""
    rate = done / elapsed_s
    return f", {amount(rate)}/s" + (f", {duration(left / rate)} left" if left else "")


def amount(size_bytes: float) -> str:
    """A number of bytes as a person says it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}" if size_bytes < 10 * size else f"{size_bytes / size:.0f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB" if size_bytes >= 1e3 else f"{size_bytes:.0f} bytes"


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
