"""What our own bitswap serves when the content is in a Kubo: the embedded store first, then Kubo's blocks."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from identity.cid import Cid
from node.content.errors import ContentError
from node.content.kubo_api import KuboApi, KuboSaid
from storage.blocks import BlockStore

T = TypeVar("T")

ASK_S: Final = 2.0
"""How long a peer's want waits for Kubo: it asks somebody else meanwhile."""

REST_S: Final = 5.0
"""How long Kubo is not asked after it did not answer."""

MAX_ASKING: Final = 4
"""Questions under way: a flood of wants for what is not here takes no more of Kubo, and of the serving threads."""

logger = logging.getLogger(__name__)


class StoreThenKubo:
    """A `BlockSource` for the network's threads. Kubo's calls run on `loop`, from which this must not be called."""

    def __init__(self, store: BlockStore, api: KuboApi, *, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._api = api
        self._loop = loop
        self._asking = threading.BoundedSemaphore(MAX_ASKING)
        self._rests_until = 0.0

    def get(self, cid: Cid) -> bytes | None:
        """A block of either, its hash checked. What Kubo does not give in time is not here."""
        block = self._store.get(cid)
        if block is not None:
            return block
        block = self._ask(lambda: self._api.block(str(cid)))
        return block if block is not None and cid.matches(block) else None

    def has(self, cid: Cid) -> bool:
        """Whether either has it."""
        if self._store.has(cid):
            return True
        return self._ask(lambda: self._api.one("block/stat", str(cid), offline="true")) is not None

    def _ask(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What Kubo answers, or None: it has not got it, does not answer, or is asked too much."""
        if time.monotonic() < self._rests_until or not self._asking.acquire(timeout=ASK_S):
            return None
        try:
            under_way = asyncio.run_coroutine_threadsafe(call(), self._loop)
            try:
                return under_way.result(ASK_S)
            finally:
                under_way.cancel()
        except KuboSaid:
            return None
        except (ContentError, TimeoutError) as error:
            self._rests_until = time.monotonic() + REST_S
            logger.info("Kubo is not asked for blocks for %g s: %s", REST_S, error)
            return None
        finally:
            self._asking.release()
