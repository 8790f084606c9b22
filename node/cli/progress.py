"""Progress of long work, for a person at a terminal or a log: on stderr, and only when there is something new."""

import sys
from collections.abc import Callable
from typing import Final

_STEP_PERCENT: Final = 10
"""Without a terminal a line for each tenth is enough."""


def bytes_progress(title: str) -> Callable[[int, int | None], None]:
    """A callback `(bytes so far, total if known)` that shows how far `title` has come."""
    shown = -1

    def show(done: int, total: int | None) -> None:
        nonlocal shown
        percent = min(100, done * 100 // total) if total else 0
        at_terminal = sys.stderr.isatty()
        if percent == shown or (not at_terminal and percent // _STEP_PERCENT == shown // _STEP_PERCENT):
            return
        shown = percent
        of = f" of {_amount(total)} ({percent} %)" if total else ""
        line = f"{title}: {_amount(done)}{of}"
        ended = not at_terminal or percent == 100
        sys.stderr.write(("\r\x1b[K" if at_terminal else "") + line + ("\n" if ended else ""))
        sys.stderr.flush()

    return show


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"
