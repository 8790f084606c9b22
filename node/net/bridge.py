"""The bridge between the asyncio loop and the one thread that runs trio.

Calls cross from asyncio to trio, results and events cross back. Both directions are queues that are drained in
batches: waking the other loop is what costs, so a burst costs one wake-up.
It knows nothing of libp2p.
"""

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple, cast

import trio

from node.net.errors import NetworkDown

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_BATCH: Final = 256
"""Events that are handed to asyncio in one go: the loop gets to its other work in between."""


class _Job:
    """A call that is under way on the trio side. `awaitable` and `scope` are set when it starts there."""

    __slots__ = ("awaitable", "cancelled", "error", "future", "result", "run", "scope")

    def __init__(self, run: Callable[[], Awaitable[object]], future: "asyncio.Future[object]") -> None:
        self.run = run
        self.future = future
        self.awaitable: Awaitable[object] | None = None
        self.scope: trio.CancelScope | None = None
        self.cancelled = False
        self.result: object = None
        self.error: Exception | None = None


class TrioThread:
    """One run of the trio loop in a thread of its own. It is made on, and belongs to, the running asyncio loop.

    `body` is the main task on the trio side; it gets this object and the nursery in which calls run, and the thread
    ends when it returns or raises. `finished` then holds the error, or None.
    """

    def __init__(self, body: Callable[["TrioThread", trio.Nursery], Awaitable[None]]) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._body = body
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._stop: trio.Event | None = None
        self._to_trio: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._to_asyncio: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._waking = False
        self._jobs: set[_Job] = set()
        self._over = False
        self.finished: Final[asyncio.Future[BaseException | None]] = self._loop.create_future()
        threading.Thread(target=self._run, name="libp2p", daemon=True).start()

    # The asyncio side

    def submit(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run a quick function on the trio side, in order. Raises NetworkDown if that side has ended.

        An error that it raises ends the trio thread: it must not raise.
        """
        if self._over or self._token is None:
            raise NetworkDown("the libp2p thread is not running")
        self._to_trio.append((function, args))
        try:
            self._token.run_sync_soon(self._drain, idempotent=True)
        except trio.RunFinishedError as error:
            raise NetworkDown("the libp2p thread has ended") from error

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Await `function(*args)` on the trio side. Cancelling this cancels it there.

        Calls are made there in the order in which they are made here; what each returns is awaited in a task of its
        own, and trio runs tasks in no order.
        Raises what it raises, or NetworkDown if that side ends first.
        """
        job = _Job(lambda: function(*args), self._loop.create_future())
        self.submit(self._start, job)
        self._jobs.add(job)
        try:
            return cast(T, await job.future)
        except asyncio.CancelledError:
            if not self._over:
                self.submit(self._cancel, job)
            raise
        finally:
            self._jobs.discard(job)

    async def stop(self, grace_s: float) -> None:
        """Ask the body to end by its stop event, and wait for the thread; after `grace_s` it is left to itself."""
        stop = self._stop
        if stop is not None and not self._over:
            self.submit(stop.set)
        done, _ = await asyncio.wait({self.finished}, timeout=grace_s)
        if not done:
            logger.warning("The libp2p thread did not end within %.0f s and is left behind.", grace_s)

    def _deliver(self) -> None:
        self._waking = False
        for _ in range(min(len(self._to_asyncio), MAX_BATCH)):
            function, args = self._to_asyncio.popleft()
            function(*args)
        if self._to_asyncio and not self._waking:
            self._waking = True
            self._loop.call_soon(self._deliver)

    def _settle(self, job: _Job) -> None:
        if not job.future.done():
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _end(self, error: BaseException | None) -> None:
        self._over = True
        for job in tuple(self._jobs):
            if not job.future.done():
                job.future.set_exception(NetworkDown("the libp2p thread ended while this was under way"))
        if not self.finished.done():
            self.finished.set_result(error)

    # The trio side

    @property
    def backlog(self) -> int:
        """Events that wait for the asyncio side."""
        return len(self._to_asyncio)

    def post(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run a function on the asyncio loop, in order. It must be quick and must not raise."""
        self._to_asyncio.append((cast(Callable[..., object], function), args))
        if not self._waking:
            self._waking = True
            self._call_asyncio(self._deliver)

    async def wait_stop(self) -> None:
        """Wait, on the trio side, until the asyncio side asks this thread to end."""
        assert self._stop is not None
        await self._stop.wait()

    def _call_asyncio(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("The asyncio loop is closed; an event of the libp2p thread is dropped.")

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            trio.run(self._main)
        except BaseException as raised:  # noqa: BLE001 - the supervisor on the asyncio side logs it once
            error = raised
        self._call_asyncio(self._end, error)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._body(self, nursery)
            nursery.cancel_scope.cancel()

    def _drain(self) -> None:
        while self._to_trio:
            function, args = self._to_trio.popleft()
            function(*args)

    def _start(self, job: _Job) -> None:
        assert self._nursery is not None
        if job.cancelled:
            return
        try:
            job.awaitable = job.run()
        except Exception as error:  # noqa: BLE001 - it is raised again where the call was made
            job.error = error
            self.post(self._settle, job)
        else:
            self._nursery.start_soon(self._work, job)

    def _cancel(self, job: _Job) -> None:
        job.cancelled = True
        if job.scope is not None:
            job.scope.cancel()

    async def _work(self, job: _Job) -> None:
        assert job.awaitable is not None
        with trio.CancelScope() as job.scope:
            if job.cancelled:
                if inspect.iscoroutine(job.awaitable):
                    job.awaitable.close()
                return
            try:
                job.result = await job.awaitable
            except Exception as error:  # noqa: BLE001 - it is raised again where the call was made
                job.error = error
            self.post(self._settle, job)
