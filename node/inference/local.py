"""The local model as the node holds it: loading in the background, ready, or absent with the reason; and exchanged for
another one while it runs.

Whoever holds `engine` holds the same object before and after an exchange: requests under way end on the old model, the
next ones go to the new one.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from pathlib import Path

from identity.errors import PagiError
from node.inference.engine import ChatRequest, Completion, Engine
from node.inference.errors import InferenceUnavailable
from node.inference.machine import Fit

logger = logging.getLogger(__name__)

Open = Callable[[Path], AbstractAsyncContextManager[Engine]]
"""Loads a model; leaving the context closes it. Raises InferenceError."""

NO_MODEL = "no model was chosen (--model none)"


class _Held:
    """One loaded model, and how many requests are on it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.done = asyncio.Event()
        self._replaced = False
        self._users = 0

    @contextmanager
    def used(self) -> Iterator[Engine]:
        self._users += 1
        try:
            yield self.engine
        finally:
            self._users -= 1
            self._look()

    def replace(self) -> None:
        """No further request comes; it is done when those on it have ended."""
        self._replaced = True
        self._look()

    def _look(self) -> None:
        if self._replaced and self._users == 0:
            self.done.set()


class _Current:
    """An Engine: whichever model is the current one."""

    def __init__(self, model: "LocalModel") -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._now().engine.name

    @property
    def capable(self) -> bool:
        return self._now().engine.capable

    @property
    def context_tokens(self) -> int:
        return self._now().engine.context_tokens

    async def complete(self, request: ChatRequest) -> Completion:
        with self._now().used() as engine:
            return await engine.complete(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        with self._now().used() as engine:
            async with aclosing(engine.stream(request)) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item

    async def aclose(self) -> None:
        """The model belongs to whoever loaded it."""

    def _now(self) -> _Held:
        held = self._model.held
        if held is None:
            raise InferenceUnavailable(f"there is no model here: {self._model.reason}")
        return held


class LocalModel:
    """An engine that may not be there (yet). `reason` says why there is none; `path` is the file of the present one."""

    def __init__(self, reason: str | None = None, *, open_: Open | None = None) -> None:
        self.held: _Held | None = None
        self.reason = reason
        self.path: Path | None = None
        self._open = open_
        self._current = _Current(self)
        self._settled = asyncio.Event()
        self._one_change = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alive: set[_Held] = set()
        self._coming: list[Path] = []
        self._closing = False
        if reason is not None:
            self._settled.set()

    @property
    def engine(self) -> Engine | None:
        """The current model, and what will be it later; None if there is none now."""
        return self._current if self.held is not None else None

    @property
    def fit(self) -> Fit | None:
        """What the present model got of this machine, and why."""
        return getattr(self.held.engine, "chosen", None) if self.held is not None else None

    @property
    def may_see_private(self) -> bool:
        """It runs here, and tells nobody."""
        return True

    async def ready(self) -> Engine | None:
        """The engine, once loading has ended; None if there is none."""
        await self._settled.wait()
        return self.engine

    @property
    def loading(self) -> bool:
        """Whether the first engine is being loaded now."""
        return not self._settled.is_set()

    def settle(self, engine: Engine | None, reason: str | None) -> "_Held | None":
        """From now on this is the engine, or the reason why there is none. One that was there ends in its time."""
        if self.held is not None:
            self.held.replace()
        self.held, self.reason = _Held(engine) if engine is not None else None, reason
        self._settled.set()
        return self.held

    def uses(self, path: Path) -> bool:
        """Whether the model at `path` answers, or is about to."""
        return path == self.path or path in self._coming

    async def use(self, path: Path | None, then: Callable[[], None] = lambda: None) -> None:
        """Load the model at `path` and let it answer from now on; None for no model. `then` runs in a thread, before
        another exchange begins.

        The present one serves until then, and stays if the new one cannot be loaded: raises InferenceError. A caller
        that leaves meanwhile stops neither the exchange nor `then`, whose errors are raised.
        """
        await asyncio.shield(self._keep(self._exchange(path, then)))

    async def aclose(self) -> None:
        """Close every model, whatever runs on it. One that is being loaded is closed when it is there."""
        self._closing = True
        for held in self._alive:
            held.done.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _exchange(self, path: Path | None, then: Callable[[], None]) -> None:
        coming = [path] if path is not None else []
        self._coming += coming
        try:
            async with self._one_change:
                await self._change(path)
                await asyncio.to_thread(then)
        finally:
            for one in coming:
                self._coming.remove(one)

    async def _change(self, path: Path | None) -> None:
        if path is None:
            self.path = None
            self.settle(None, NO_MODEL)
            return
        assert self._open is not None
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keep(self._hold(self._open(path), path, loaded))
        await loaded

    async def _hold(
        self, opening: AbstractAsyncContextManager[Engine], path: Path, loaded: asyncio.Future[None]
    ) -> None:
        """Open, serve and close one model. `loaded` is settled when it serves, or with why it does not."""
        try:
            async with opening as engine:
                if self._closing:
                    raise InferenceUnavailable("the twin stops")
                self.path = path
                held = self.settle(engine, None)
                assert held is not None
                self._alive.add(held)
                loaded.set_result(None)
                await held.done.wait()
                self._alive.discard(held)
        except Exception as error:
            if loaded.done():
                raise
            loaded.set_exception(error)

    def _keep(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, PagiError):
            logger.error("the local model ended unexpectedly", exc_info=error)


@asynccontextmanager
async def load_in_background(path: Path | None, *, open_: Open) -> AsyncIterator[LocalModel]:
    """Give a LocalModel at once and load the GGUF file at `path` behind it. Without a path there is none."""
    model = LocalModel(NO_MODEL if path is None else None, open_=open_)

    async def load(first: Path) -> None:
        try:
            await model.use(first)
        except PagiError as error:
            logger.error("the model cannot be used: %s. %s", error, error.hint)
            model.settle(None, str(error))
        except Exception:
            logger.exception("loading the model ended unexpectedly")
            model.settle(None, "loading the model ended unexpectedly")

    task = asyncio.create_task(load(path)) if path is not None else None
    try:
        yield model
    finally:
        await model.aclose()
        if task is not None:
            await asyncio.wait({task})
