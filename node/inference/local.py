"""The local model as the node holds it: loading in the background, ready, or absent with the reason."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from identity.errors import PagiError
from node.inference.engine import Engine

logger = logging.getLogger(__name__)


class LocalModel:
    """An engine that may not be there (yet). `reason` says why there is none."""

    def __init__(self, reason: str | None = None) -> None:
        self.engine: Engine | None = None
        self.reason = reason
        self._settled = asyncio.Event()
        if reason is not None:
            self._settled.set()

    async def ready(self) -> Engine | None:
        """The engine, once loading has ended; None if there is none."""
        await self._settled.wait()
        return self.engine

    @property
    def loading(self) -> bool:
        """Whether the engine is being loaded now."""
        return not self._settled.is_set()

    def settle(self, engine: Engine | None, reason: str | None) -> None:
        """Loading has ended, with an engine or with the reason why there is none."""
        self.engine, self.reason = engine, reason
        self._settled.set()


@asynccontextmanager
async def load_in_background(
    path: Path | None, *, threads: int | None, context_tokens: int
) -> AsyncIterator[LocalModel]:
    """Give a LocalModel at once and load the GGUF file at `path` behind it. Without a path there is none."""
    if path is None:
        yield LocalModel("no model was chosen (--model none)")
        return
    from node.inference.llama import open_engine  # the model library takes its time: only where it is needed

    model = LocalModel()
    closing = asyncio.Event()

    async def load() -> None:
        try:
            async with open_engine(path, threads=threads, context_tokens=context_tokens) as engine:
                model.settle(engine, None)
                await closing.wait()
        except PagiError as error:
            logger.error("the model cannot be used: %s. %s", error, error.hint)
            model.settle(None, str(error))
        finally:
            if model.loading:
                model.settle(None, "loading the model ended unexpectedly")

    task = asyncio.create_task(load())
    try:
        yield model
    finally:
        closing.set()
        await task
