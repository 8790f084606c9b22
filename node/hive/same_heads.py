"""The same heads, announced by several twins, are fetched once: whoever comes second waits for the first.

A swarm that agrees announces the same heads by many authors at once, and a newcomer hears all of them in one moment.
The wait has bounds, so that an author whose peers give nothing, or little by little, does not hold up another for long.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from identity.cid import Cid

STALLED_S: Final = 5.0
"""A fetch that has brought nothing for so long is not waited for."""

WAIT_S: Final = 30.0
"""Nor is one that takes longer all together."""


class SameHeads:
    """The heads that are being fetched. `progress` is a number that grows while anything is taken in."""

    def __init__(self, progress: Callable[[], int]) -> None:
        self._progress = progress
        self._under_way: dict[Cid, asyncio.Event] = {}

    async def wait(self, heads: Sequence[Cid]) -> None:
        """Wait until nobody fetches any of these heads, or whoever does gets nowhere."""
        try:
            async with asyncio.timeout(WAIT_S):
                while (ended := self._event_of(heads)) is not None:
                    before = self._progress()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), STALLED_S)
                    if not ended.is_set() and self._progress() == before:
                        return
        except TimeoutError:
            return

    def _event_of(self, heads: Sequence[Cid]) -> asyncio.Event | None:
        return next((self._under_way[cid] for cid in heads if cid in self._under_way), None)

    @contextmanager
    def fetching(self, heads: Sequence[Cid]) -> Iterator[None]:
        """These heads are being fetched until this is left."""
        ended = asyncio.Event()
        mine = [cid for cid in heads if self._under_way.setdefault(cid, ended) is ended]
        try:
            yield
        finally:
            for cid in mine:
                del self._under_way[cid]
            ended.set()
