"""Content that a relay keeps for its clients: those for whom it keeps mail, each within a share."""

import sqlite3
from collections.abc import Collection
from typing import Final

from identity.cid import Cid
from identity.did import Did
from node.content.embedded import EmbeddedBlocks
from node.content.hosting import Hosting
from node.net.port import Network
from storage import hosted_pins, mediation, needed
from storage.blocks import BlockStore
from storage.database import Database

CLIENTS: Final = 16
"""One client's content may take a 16th of all the room."""

SHARE: Final = 4
"""And no more than a quarter of what is then still free: keys cost nothing, and whoever comes with many of them leaves
the others something each time."""


def host_for_clients(store: BlockStore, *, database: Database, network: Network, pin_bytes: int) -> Hosting:
    """Keeps at most `pin_bytes` for all clients together."""

    async def roots() -> Collection[Cid]:
        return await database.read(needed.roots)

    def share_of(conn: sqlite3.Connection, client: Did) -> int:
        if mediation.get_client(conn, client) is None:
            return 0
        free = max(0, pin_bytes - hosted_pins.used_bytes(conn))
        return min(pin_bytes // CLIENTS, hosted_pins.used_bytes(conn, client) + free // SHARE)

    blocks = EmbeddedBlocks(store, database=database, network=network, roots=roots)
    return Hosting(database=database, blocks=blocks, share_of=share_of, total_bytes=pin_bytes)
