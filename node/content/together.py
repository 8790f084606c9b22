"""Tasks that belong to one transfer: they end with it, and what goes wrong comes out as the one error that it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from identity.errors import PagiError
from node.errors import first_of


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first error comes out by itself: ours before any other."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise first_of(PagiError, group) or group.exceptions[0] from None
