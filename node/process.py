"""Running a node as a process: the event loop, the signals that stop it, its log, and errors out of task groups.

A twin and a relay share this. Logs go to stderr; stdout belongs to what the command was asked for.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil

from identity.errors import PagiError
from node.errors import first_of

Main = Callable[[Callable[[], Awaitable[None]]], Coroutine[Any, Any, None]]
"""The node: given `wait_stopped`, which returns once a signal asks the process to end."""


def run_until_stopped(main: Main) -> None:
    """Run `main` until it returns. SIGTERM and SIGINT ask it to stop; a second one ends it at once.

    Raises the first PagiError that comes out of it, also out of a task group.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(_with_signals(main))
        except BaseExceptionGroup as group:
            error = first_of(PagiError, group)
            if error is None:
                raise
            raise error from group


def seconds_since_start() -> float:
    """Seconds since this process was started, the interpreter's own start included.

    On Linux from the kernel's own count of clock ticks since boot (proc_pid_stat(5), field 22): psutil adds that to a
    boot time in whole seconds, and can be wrong by one.
    """
    stat = Path("/proc/self/stat")
    if stat.exists():
        started_ticks = int(stat.read_text().rpartition(")")[2].split()[19])
        return round(time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK"), 3)
    started: float = psutil.Process().create_time()
    return round(time.time() - started, 3)


def log_to_stderr(level: str) -> None:
    """Log to stderr, one line for each record."""
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    for noisy in ("multiaddr", "asyncio", "async_service", "faiss.loader"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for silent in ("libp2p", "zeroconf"):  # they log with a traceback what peers and networks do every day
        logging.getLogger(silent).setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.server").addFilter(_is_no_strangers_doing)


def _is_no_strangers_doing(record: logging.LogRecord) -> bool:
    """aiohttp logs each request that it cannot read with a traceback, and quotes it: anybody could fill the log, and
    the line that is quoted can be a token's or an invitation's."""
    error = record.exc_info[1] if record.exc_info else None
    return type(error).__module__ != "aiohttp.http_exceptions"


async def _with_signals(main: Main) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if stopped.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)

    async def wait_stopped() -> None:
        await stopped.wait()

    await main(wait_stopped)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for this platform: asyncio's own loop does the same, more slowly
        return None
    return uvloop.new_event_loop
