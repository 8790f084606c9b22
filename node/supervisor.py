"""Keeping the parts of a node running through what passes: a full disk, a database that another process locks.

A part that fails in any other way ends the node with its error: half a twin would be worse than none.
"""

import asyncio
import logging
from typing import Final, Protocol

from node.errors import first_of
from storage.errors import StorageError

logger = logging.getLogger(__name__)

REST_S: Final = 5.0
"""Pause before a part runs again after the storage refused it. Nothing that was acknowledged depends on the part."""


class Part(Protocol):
    """A part of the node with work of its own. Running it again after it has failed is safe."""

    async def run(self) -> None: ...


async def keep_running(part: Part, resting: dict[str, str], *, rest_s: float = REST_S) -> None:
    """Run a part until it is cancelled; run it again, after a rest, when the storage has failed it.

    While it rests, `resting` has the reason under the part's name.
    """
    name = type(part).__name__
    while True:
        refused: StorageError | None = None
        try:
            await part.run()
        except* StorageError as group:
            refused = first_of(StorageError, group)
        if refused is None:
            return
        logger.error("%s rests for %g s: %s. %s", name, rest_s, refused, refused.hint)
        resting[name] = str(refused)
        await asyncio.sleep(rest_s)
        del resting[name]
