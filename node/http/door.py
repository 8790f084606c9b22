"""The public listener of a twin: where strangers bring messages, see who the twin is, and get what it has."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from identity.cid import Cid
from node.config import PublicConfig
from node.content.content import Content
from node.content.naming import OwnName
from node.dids.own import OwnDids
from node.errors import ConfigInvalid
from node.http.gateway import Gateway
from node.http.listening import Bounds, host_and_port, listen
from node.http.public import Handler, make_public_app
from node.messaging.intake import Intake
from node.messaging.introductions import Introductions
from node.messaging.source import Source
from protocols import ipns
from protocols.errors import ProtocolError
from storage.blocks import BlockStore


@dataclass(frozen=True, slots=True)
class TwinDoor:
    """What `make_public_app` asks of whoever is behind it."""

    intake: Intake
    own: OwnDids

    async def accept(self, source: Source, packed: bytes) -> bytes:
        """Take one message in."""
        return await self.intake.accept(source, packed)

    def did_document(self) -> Mapping[str, Any] | None:
        """The document of our did:web, if a public URL is configured."""
        return self.own.web_document()


def gateway_of(config: PublicConfig, *, content: Content, store: BlockStore, own_name: OwnName) -> Gateway | None:
    """The gateway to this twin's blocks and to its own IPNS record, if the owner wants one.

    `store` has the blocks of playbooks, wherever those of content are.
    """
    if not config.gateway:
        return None

    async def here(cid: Cid) -> bytes | None:
        block = await content.here(cid)
        return block if block is not None else await asyncio.to_thread(store.get, cid)

    async def record(name: str) -> bytes | None:
        own = own_name.current
        try:
            return own.record.raw if own is not None and ipns.parse_name(name) == own_name.name else None
        except ProtocolError:
            return None

    denied = [Cid.parse(text) for text in config.gateway_denies]
    return Gateway(here, record=record, denied=denied, proxied=config.proxied)


@asynccontextmanager
async def serve_public(
    config: PublicConfig,
    door: TwinDoor,
    introductions: Introductions,
    *,
    extra: Sequence[tuple[str, str, Handler]] = (),
) -> AsyncIterator[str | None]:
    """Answer strangers until the block ends, if the owner wants that; gives the URL that they use.

    Raises PortInUse, CannotListen or ConfigInvalid.
    """
    if config.listen is None:
        if config.url is not None:
            raise ConfigInvalid("public.url, or --public-url: nothing listens for it: give --public HOST:PORT as well")
        yield None
        return
    host, port = host_and_port(config.listen, "public.listen, or --public")
    bounds = Bounds(per_host=None) if config.proxied else Bounds()
    async with listen(make_public_app(door, extra=extra, proxied=config.proxied), host, port, bounds=bounds) as address:
        introductions.public_url = config.url or address
        introductions.refresh()
        yield introductions.public_url
