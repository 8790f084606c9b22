"""Playbooks in the owner's Kubo as well: their heads are pinned there, with all that is under them, so that it serves
them to whoever has no way to this twin.

The embedded store stays the place where playbooks are; here they are copied, a while later, as long as Kubo answers.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from identity.cid import Cid
from node.content.errors import ContentError
from node.content.kubo import KuboBlocks
from node.content.kubo_pins import KuboPins, called
from node.errors import ContentUnavailable
from protocols.errors import ProtocolError
from protocols.ipld.links import links_of
from storage.blocks import BlockStore

CHECK_EVERY_S: Final = 5.0
"""How old a playbook in Kubo may get; also the rest after a Kubo that does not answer."""

_BLOCKS_AT_ONCE: Final = 256

Heads = Callable[[], Mapping[str, Sequence[Cid]]]
"""The heads of every playbook that is kept here, by its name."""

logger = logging.getLogger(__name__)


class KuboMirror:
    """Copies what `heads` names from `store` into Kubo."""

    def __init__(self, blocks: KuboBlocks, *, store: BlockStore, heads: Heads) -> None:
        self._blocks = blocks
        self._pins: KuboPins = blocks.pins_there
        self._store = store
        self._heads = heads
        self._mirrored: dict[str, frozenset[Cid]] = {}
        self._complained = False

    async def run(self) -> None:
        """Keep Kubo's copies as new as CHECK_EVERY_S, until cancelled. What goes wrong is tried again."""
        while True:
            await self.mirror()
            await asyncio.sleep(CHECK_EVERY_S)

    async def mirror(self) -> None:
        """Copy every playbook that has changed."""
        for name, heads in self._heads().items():
            wanted = frozenset(heads)
            if not wanted or self._mirrored.get(name) == wanted:
                continue
            try:
                await self._mirror(called(f"playbook {name}"), wanted)
            except (ContentError, ContentUnavailable) as error:
                if not self._complained:
                    logger.warning("playbook %s is not in Kubo yet: %s", name, error)
                self._complained = True
                return
            self._mirrored[name] = wanted
            self._complained = False

    async def _mirror(self, pin_name: str, heads: Collection[Cid]) -> None:
        there = await self._pins.named(pin_name)
        below = self._below([head for head in heads if head not in there], there)
        async with self._blocks.hold() as hold:
            while some := await asyncio.to_thread(lambda: list(islice(below, _BLOCKS_AT_ONCE))):
                await hold.put_many(some)
            for head in heads:
                if head not in there:
                    await self._pins.add(head, "recursive", pin_name)
        for head in there.difference(heads):
            await self._pins.remove(head)

    def _below(self, heads: Sequence[Cid], there: Collection[Cid]) -> Iterator[tuple[Cid, bytes]]:
        """The blocks under these heads, but for what is under a head that is pinned there. Blocks the thread."""
        to_visit, seen = [*heads], {*heads, *there}
        while to_visit:
            cid = to_visit.pop()
            block = self._store.get(cid)
            if block is None:
                raise ContentUnavailable(f"{cid} of a playbook is missing here")
            yield cid, block
            try:
                links = links_of(cid, block)
            except ProtocolError as error:
                raise ContentUnavailable(f"{cid} of a playbook cannot be read") from error
            new = [link for link in links if link not in seen]
            seen.update(new)
            to_visit.extend(new)
