"""The providers that the owner named: kept in the database, changed while the twin runs, opened as engines.

An answer under way ends with the provider as it was; the next request sees the change. One that was removed, or may no
longer see what is private, is asked no more, not even for a request that began before.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from node.http.outside import Outside
from node.inference.engine import Engine
from node.inference.errors import GatewayError
from node.inference.providers.anthropic import AnthropicDialect
from node.inference.providers.errors import KeyUnreadable, ProviderExists, ProviderInvalid, ProviderUnknown
from node.inference.providers.openai import OpenAiDialect
from node.inference.providers.provider import Provider
from node.inference.providers.remote import Dialect, Place, RemoteEngine, Times
from node.inference.providers.sealing import MAX_KEY_CHARS, Sealer, origin
from node.inference.usage import Price
from storage import providers
from storage.database import Database
from storage.providers import ProviderRow

logger = logging.getLogger(__name__)

MAX_PROVIDERS: Final = 16
"""Each is asked in turn where the ones before it fail, so more would never be reached in time."""

RESERVED: Final = frozenset({"local", "twin", "governor"})
"""Names that mean something else where a model is named."""


class Providers:
    """The list. Made by `load`; used from one asyncio loop."""

    def __init__(self, database: Database, *, sealer: Sealer, outside: Outside, times: Times) -> None:
        self._database = database
        self._sealer = sealer
        self._outside = outside
        self._times = times
        self._rows: tuple[ProviderRow, ...] = ()
        self._open: dict[str, Provider] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Open what the database has. One whose key cannot be opened stays in the list, with the reason.

        What a key sealed that the twin has replaced is sealed anew: only so many replaced keys are kept.
        """
        await self._reload()
        await self._renew_seals()
        for row in self._rows:
            if (reason := self._open[row.name].reason()) is not None:
                logger.error("the provider %s cannot be asked: %s", row.name, reason)

    @property
    def rows(self) -> tuple[ProviderRow, ...]:
        """Their settings, in the owner's order."""
        return self._rows

    def in_order(self) -> Sequence[Provider]:
        """What the gateway asks, in the owner's order."""
        return [self._open[row.name] for row in self._rows]

    async def add(self, row: ProviderRow, key: str | None) -> None:
        """A further provider, at the end of the order. Raises ProviderExists or ProviderInvalid."""
        async with self._changing:
            if row.name in RESERVED:
                raise ProviderInvalid(f"{row.name!r} is no name for a provider")
            if len(self._rows) >= MAX_PROVIDERS:
                raise ProviderInvalid(f"there are {MAX_PROVIDERS} providers already")
            sealed = self._sealed(row, key)
            if not await self._database.write(lambda conn: providers.add(conn, sealed)):
                raise ProviderExists(f"there is a provider {row.name!r}")
            await self._reload()

    async def change(self, row: ProviderRow, key: str | None) -> None:
        """Replace the settings of a provider; without a `key` it keeps the one that it has, unless it is to be asked
        elsewhere: a key never goes to another address than the one that it was given for.

        Raises ProviderUnknown or ProviderInvalid.
        """
        async with self._changing:
            held = self._row(row.name)
            changed = self._sealed(row, key)
            if key is None and held.sealed_key is not None:
                if (held.kind, origin(held.base_url)) != (row.kind, origin(row.base_url)):
                    raise ProviderInvalid("a provider that moves to another address needs its key anew")
                changed = replace(row, sealed_key=held.sealed_key)
            await self._database.write(lambda conn: providers.replace(conn, changed))
            await self._reload(anew=row.name)

    async def remove(self, name: str) -> None:
        """Forget a provider and its key. Raises ProviderUnknown."""
        async with self._changing:
            self._row(name)
            await self._database.write(lambda conn: providers.remove(conn, name))
            await self._reload()

    async def order(self, names: Sequence[str]) -> None:
        """Ask them in this order; those that are not named come after, as they were. Raises ProviderUnknown."""
        async with self._changing:
            first = [self._row(name).name for name in names]
            rest = [row.name for row in self._rows if row.name not in first]
            await self._database.write(lambda conn: providers.set_order(conn, [*first, *rest]))
            await self._reload()

    async def _renew_seals(self) -> None:
        renewed: list[ProviderRow] = []
        for row in self._rows:
            if row.sealed_key is None or self._open[row.name].engine() is None:
                continue
            sealed = self._sealer.renewed(row.sealed_key, name=row.name, kind=row.kind, base_url=row.base_url)
            if sealed != row.sealed_key:
                renewed.append(replace(row, sealed_key=sealed))
        if renewed:
            await self._database.write(lambda conn: [providers.replace(conn, row) for row in renewed])
            await self._reload()

    def _row(self, name: str) -> ProviderRow:
        for row in self._rows:
            if row.name == name:
                return row
        raise ProviderUnknown(f"there is no provider {name!r}")

    def _sealed(self, row: ProviderRow, key: str | None) -> ProviderRow:
        """Raises ProviderInvalid."""
        _check_url(row.base_url)
        if key is None:
            return replace(row, sealed_key=None)
        if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
            raise ProviderInvalid("a key is one line of visible ASCII characters")
        return replace(row, sealed_key=self._sealer.seal(key, name=row.name, kind=row.kind, base_url=row.base_url))

    async def _reload(self, *, anew: str | None = None) -> None:
        """Read the rows and open what is new; what did not change keeps its breaker."""
        rows = tuple(await self._database.read(providers.all_in_order))
        before = {row.name: row for row in self._rows}
        self._open = {
            row.name: self._open[row.name] if before.get(row.name) == row and row.name != anew else self._opened(row)
            for row in rows
        }
        self._rows = rows

    def _opened(self, row: ProviderRow) -> Provider:
        engine: Engine | None = None
        trouble: GatewayError | None = None
        try:
            engine = self._engine(row)
        except KeyUnreadable as error:
            trouble = error
        parts = urlsplit(row.base_url)
        return Provider(
            name=row.name,
            kind=row.kind,
            engine=lambda: engine,
            reason=lambda: None if trouble is None else str(trouble),
            sees_private=row.sees_private,
            address=(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)),
            price=Price(row.price_in, row.price_out),
        )

    def _engine(self, row: ProviderRow) -> Engine:
        """Raises KeyUnreadable."""
        key = None
        if row.sealed_key is not None:
            key = self._sealer.open(row.sealed_key, name=row.name, kind=row.kind, base_url=row.base_url)
        place = Place(
            name=row.name,
            base_url=row.base_url.rstrip("/").removesuffix("/v1" if row.kind == "anthropic" else ""),
            model=row.model,
            key=key,
            capable=row.capable,
            context_tokens=row.context_tokens,
        )
        dialect: Dialect = OpenAiDialect() if row.kind == "openai" else AnthropicDialect()
        return RemoteEngine(place, dialect, outside=self._outside, times=self._times)


def _check_url(base_url: str) -> None:
    """Raises ProviderInvalid."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and base_url.isascii()
    except ValueError:
        usable = False
    if not usable or " " in base_url or parts.username or parts.password or parts.query or parts.fragment:
        raise ProviderInvalid("the base URL is such as https://api.example.com/v1, without a user, query or fragment")
