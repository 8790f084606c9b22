"""Where a model comes from: a name becomes what the file must be, and its bytes from any offset."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from identity.cid import Cid
from node.content.content import Content
from node.errors import ContentUnavailable
from node.inference.downloading import PiecesFrom, Wanted
from node.inference.errors import HubUnreachable, ModelDamaged
from node.inference.hub import Hub, is_hub_name

IPFS: Final = "ipfs:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A model that can be fetched. `stem` is what it may be called; the licence is what the source says of it."""

    stem: str
    wanted: Wanted
    pieces_from: PiecesFrom
    licence: str | None = None
    licence_url: str | None = None


def is_far(source: str) -> bool:
    """Whether a source is fetched; else it is the path of a file of the owner's."""
    return source.startswith(IPFS) or is_hub_name(source)


class Sources:
    """The hub and the swarm."""

    def __init__(self, *, hub: Hub, content: Content) -> None:
        self._hub = hub
        self._content = content

    async def find(self, source: str, sha256: str | None) -> Coming:
        """What `OWNER/REPO[:FILE]` or `ipfs:CID` leads to; `sha256` is what the file must have, if that is known.

        Raises ModelNotNamed, ModelDamaged, HubRefused, HubUnreachable, MalformedCid, ContentUnavailable, WrongKind.
        """
        if source.startswith(IPFS):
            return await self._in_the_swarm(Cid.parse(source.removeprefix(IPFS)), sha256)
        file = await self._hub.find(source)
        if sha256 not in (None, file.sha256):
            raise ModelDamaged(f"the hub lists {file.source} with the SHA-256 {file.sha256}, not {sha256}")
        return Coming(
            stem=Path(file.path).stem,
            wanted=Wanted(source=file.source, size_bytes=file.size_bytes, sha256=file.sha256),
            pieces_from=lambda start: self._hub.pieces(file, start),
            licence=file.licence,
            licence_url=file.licence_url,
        )

    async def _in_the_swarm(self, cid: Cid, sha256: str | None) -> Coming:
        opened = await self._content.open(cid)
        return Coming(
            stem=f"model-{str(cid)[-8:]}",
            wanted=Wanted(source=f"{IPFS}{cid}", size_bytes=opened.size_bytes, sha256=sha256),
            pieces_from=lambda start: self._from_twins(cid, start),
        )

    async def _from_twins(self, cid: Cid, start: int) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._content.cat(cid, start)) as pieces:
                async for piece in pieces:
                    yield piece
        except ContentUnavailable as error:
            raise HubUnreachable(f"nobody gives the rest of {cid} now: {error}") from error
