"""The content of a twin, made from its configuration: which backend holds the blocks, and what a collection spares."""

import sqlite3
from collections.abc import Collection

from identity.cid import Cid
from identity.did import Did
from node.config import ContentConfig
from node.content.content import Content
from node.content.embedded import EmbeddedBlocks, Providers
from node.content.hosting import Hosting
from node.content.kubo import KuboBlocks
from node.content.kubo_api import KuboApi
from node.errors import ConfigInvalid
from node.net.port import Network
from node.trust import TrustList
from storage import needed
from storage.blocks import BlockStore
from storage.database import Database


def make_content(
    *,
    store: BlockStore,
    database: Database,
    network: Network,
    providers: Providers | None = None,
    kubo: KuboBlocks | None = None,
) -> Content:
    """Content over this node's own store, or over `kubo`. Playbooks' blocks are in our store, and are spared there."""

    async def roots() -> Collection[Cid]:
        return await database.read(needed.roots)

    async def live() -> Collection[Cid]:
        return await content.live()

    async def no_roots() -> Collection[Cid]:
        return ()

    if kubo is not None:
        return Content(blocks=kubo, roots=no_roots)
    blocks = EmbeddedBlocks(store, database=database, network=network, providers=providers, roots=live)
    content = Content(blocks=blocks, roots=roots)
    return content


def make_kubo(
    api: KuboApi, *, store: BlockStore, database: Database, network: Network, providers: Providers | None = None
) -> KuboBlocks:
    """The blocks of a Kubo. What it does not have comes from our own store, or from the twins, before it looks."""
    elsewhere = EmbeddedBlocks(store, database=database, network=network, providers=providers)
    return KuboBlocks(api, database=database, local=store, elsewhere=elsewhere.fetch)


def kubo_api(config: ContentConfig) -> KuboApi | None:
    """The client for the Kubo that is configured; None for the embedded backend. Raises ConfigInvalid."""
    if config.backend == "embedded":
        return None
    if config.kubo_secret_file is None:
        return KuboApi(config.kubo_api)
    try:
        secret = config.kubo_secret_file.read_text().strip()
    except OSError as error:
        raise ConfigInvalid(f"content.kubo_secret_file: {error}") from error
    return KuboApi(config.kubo_api, secret=secret)


def make_hosting(
    config: ContentConfig,
    *,
    content: Content,
    store: BlockStore,
    database: Database,
    network: Network,
    trust: TrustList,
    providers: Providers | None = None,
) -> Hosting:
    """What is kept for the twins that the owner named: always in our own store, whatever holds the owner's content."""

    async def live() -> Collection[Cid]:
        return {*await database.read(needed.roots), *await content.live()}

    def share_of(_: sqlite3.Connection, client: Did) -> int:
        return config.host_bytes_per_twin if trust.allows(client) and not trust.blocks(client) else 0

    return Hosting(
        database=database,
        blocks=EmbeddedBlocks(store, database=database, network=network, providers=providers, roots=live),
        share_of=share_of,
        total_bytes=config.host_bytes,
    )
