"""Running jobs: so many at once, the others in the order in which they came; stopping them; waiting for them.

A job is a row, and working on it can stop anywhere: what is queued or running when the twin stops is taken up again at
the next start. A job that waits for its owner is not worked on and takes no place.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from node.mind.errors import TooManyJobs
from node.mind.jobs.jobs import ACTIVE, Jobs
from storage.errors import StorageError

logger = logging.getLogger(__name__)

MAX_QUEUED: Final = 256
"""Goals that wait for their turn: more than anybody gives by hand, and a program that gives more must be told."""

Halt = Literal["cancel", "pause"]


class Halted(Exception):
    """The owner wants this job to stop here: raised between two steps."""


@dataclass(slots=True)
class Control:
    """The reins of one job that is worked on. `effects` counts the steps under way that must not be broken off."""

    root_id: str
    halt: Halt | None = None
    effects: int = 0
    task: asyncio.Task[None] | None = None
    broken_off: bool = False

    def check(self) -> None:
        """Raise Halted if the job is to stop."""
        if self.halt is not None:
            raise Halted(self.halt)

    def stop(self, halt: Halt) -> None:
        """Stop now; to pause, what acts on the world is let finish first."""
        self.halt = halt
        if halt == "cancel" or not self.effects:
            self._break_off()

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """While this is open a pause waits."""
        self.effects += 1
        try:
            yield
        finally:
            self.effects -= 1
            if self.halt == "pause" and not self.effects and asyncio.current_task() is not self.task:
                self._break_off()

    def _break_off(self) -> None:
        """Once: a second cancellation would hit the writing down of the first."""
        if self.task is not None and not self.broken_off:
            self.broken_off = True
            self.task.cancel()


Work = Callable[[Control], Awaitable[None]]
"""Works on a job until it has ended or is parked. Halted and cancellation come out; the job's row says what is so."""

OnHalt = Callable[[str, Halt], Awaitable[None]]
"""Records that a job was stopped."""

OnFault = Callable[[str], Awaitable[None]]
"""Records that the work on a job met a defect."""


@dataclass(slots=True, kw_only=True)
class Running:
    """The jobs that the owner gave, as they are worked on. Their parts run within them."""

    jobs: Jobs
    work: Work
    on_halt: OnHalt
    on_fault: OnFault
    at_once: int
    _queue: dict[str, None] = field(default_factory=dict)
    _active: dict[str, Control] = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def check_room(self) -> None:
        """Raise TooManyJobs if no more can wait."""
        if len(self._queue) >= MAX_QUEUED:
            raise TooManyJobs(f"{MAX_QUEUED} goals wait for their turn")

    def add(self, root_id: str) -> None:
        """Have a job worked on in its turn. One that is being worked on is looked at once more after that."""
        if root_id in self._active:
            self._again.add(root_id)
        else:
            self._queue.setdefault(root_id)
        self._wake.set()

    def stop(self, root_id: str, halt: Halt) -> bool:
        """Stop a job that is worked on; whether it is."""
        control = self._active.get(root_id)
        if control is None:
            self._queue.pop(root_id, None)
            return False
        control.stop(halt)
        return True

    def stop_all(self, halt: Halt) -> None:
        """Stop every job that is worked on."""
        for control in self._active.values():
            control.stop(halt)

    async def wait(self, root_id: str) -> None:
        """Until nobody works on the job and it does not wait for its turn."""
        while True:
            settled = self._settled
            if root_id not in self._active and root_id not in self._queue:
                return
            await settled.wait()

    async def run(self) -> None:
        """Work on jobs until cancelled; first on those that a stop cut short."""
        for root_id in await self.jobs.roots_with(ACTIVE):
            self.add(root_id)
        async with asyncio.TaskGroup() as tasks:
            while True:
                while self._queue and len(self._active) < self.at_once:
                    control = Control(next(iter(self._queue)))
                    del self._queue[control.root_id]
                    self._active[control.root_id] = control
                    control.task = tasks.create_task(self._one(control), name=f"job {control.root_id}")
                self._wake.clear()
                await self._wake.wait()

    async def _one(self, control: Control) -> None:
        try:
            await self._until_halted(control)
        except StorageError:
            raise
        except Exception:  # a defect that one goal meets must not stop the work on all others
            logger.exception("the work on job %s failed", control.root_id)
            await self.on_fault(control.root_id)
        finally:
            del self._active[control.root_id]
            if control.root_id in self._again:
                self._again.discard(control.root_id)
                self._queue.setdefault(control.root_id)
            settled, self._settled = self._settled, asyncio.Event()
            settled.set()
            self._wake.set()

    async def _until_halted(self, control: Control) -> None:
        try:
            await self.work(control)
        except (Halted, asyncio.CancelledError):
            if control.halt is None:
                raise  # the twin stops: the job goes on at the next start
            control.broken_off = True
            await self.on_halt(control.root_id, control.halt)
