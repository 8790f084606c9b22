"""The public listener of a twin: where strangers' messages come in, and where the twin says who it is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from node.config import PublicConfig
from node.dids.own import OwnDids
from node.errors import ConfigInvalid
from node.http.listening import Bounds, host_and_port, listen
from node.http.public import Handler, make_public_app
from node.messaging.intake import Intake
from node.messaging.introductions import Introductions
from node.messaging.source import Source


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
