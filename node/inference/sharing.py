"""Models as content of this twin: each is pinned to IPFS in the background, so that other twins of the owner can have
it from here by its CID."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from identity.cid import Cid
from identity.errors import PagiError
from node.content.content import Content
from node.content.errors import NotPinned
from storage import models as records
from storage.database import Database
from storage.models import ModelRow

logger = logging.getLogger(__name__)

_PIN_NAME: Final = "model "
_PIECE_BYTES: Final = 1024**2
_PINS_AT_ONCE: Final = 1000


class Sharing:
    """Pins what is not pinned yet, one after the other. Off where the owner says so; then nothing is pinned."""

    def __init__(self, *, database: Database, content: Content, on: bool) -> None:
        self._database = database
        self._content = content
        self._on = on
        self._news = asyncio.Event()

    def look(self) -> None:
        """There may be a model that is not shared."""
        self._news.set()

    async def run(self) -> None:
        """Share until cancelled. What failed before is tried once more after each start."""
        if not self._on:
            return
        await self._database.write(records.share_again)
        while True:
            self._news.clear()
            while (model := await self._database.read(records.to_share)) is not None:
                await self._share(model)
            await self._news.wait()

    async def end(self, model: ModelRow) -> None:
        """Keep the content of a model that is removed no longer, unless another one has the same."""
        if model.cid is not None:
            await self._unpin(Cid.parse(model.cid), sharers=1)

    async def _unpin(self, cid: Cid, *, sharers: int) -> None:
        """Unpin what at most so many models have, unless the owner has pinned it too."""
        shared = await self._database.read(lambda conn: records.shared_by(conn, str(cid)))
        if shared <= sharers and cid not in await self._pins_of_the_owner():
            with contextlib.suppress(NotPinned):
                await self._content.unpin(cid)

    async def _pins_of_the_owner(self) -> dict[Cid, str | None]:
        """What is pinned, but not for a model, and what that is called."""
        found: dict[Cid, str | None] = {}
        after: str | None = ""
        while after is not None:
            page = await self._content.pins(limit=_PINS_AT_ONCE, after=after or None)
            found |= {pin.cid: pin.name for pin in page.items if not (pin.name or "").startswith(_PIN_NAME)}
            after = page.next
        return found

    async def _share(self, model: ModelRow) -> None:
        try:
            owners = await self._pins_of_the_owner()
            async with contextlib.aclosing(_pieces(Path(model.path))) as pieces:
                added = await self._content.add_stream(pieces, name=f"{_PIN_NAME}{model.name}")
            if added.cid in owners:  # a pin has one name, and the owner's goes before ours
                await self._content.pin(added.cid, name=owners[added.cid])
        except (PagiError, OSError) as error:
            reason = str(error)
            logger.warning("the model %s is not shared: %s", model.name, reason)
            await self._database.write(lambda conn: records.note_shared(conn, model, None, reason[:200]))
            return
        cid = str(added.cid)
        still_here = await self._database.write(lambda conn: records.note_shared(conn, model, cid, None))
        if not still_here:
            await self._unpin(added.cid, sharers=0)


async def _pieces(path: Path) -> AsyncGenerator[bytes, None]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
    finally:
        file.close()
