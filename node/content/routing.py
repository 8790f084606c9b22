"""What tells others of this twin's content and name, and finds theirs, put together."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from identity.cid import Cid
from identity.did import Did
from identity.keys import KeyPair
from node.content.naming import Heads, OwnName
from node.content.providing import Providing
from node.content.resolving import Names
from node.net.port import Network
from storage import hosted_pins, pins
from storage.blocks import BlockStore
from storage.database import Database


@dataclass(frozen=True, slots=True)
class Routing:
    """`parts` are those with work of their own."""

    own_name: OwnName
    names: Names
    parts: Sequence[OwnName | Providing]

    async def load(self) -> None:
        """Take up what was there. To be called once, before the parts run."""
        await self.own_name.load()
        await self.names.serve()

    @property
    def counters(self) -> Sequence[Counter[str]]:
        return (self.names.counters, *(part.counters for part in self.parts))


def make_routing(
    *,
    keys: KeyPair,
    name: str,
    capabilities: Sequence[str],
    provide: Literal["roots", "none"],
    heads: Heads,
    named: Callable[[], Awaitable[Mapping[Did, str]]],
    read: Callable[[Cid], Awaitable[bytes]],
    store: BlockStore,
    database: Database,
    network: Network,
) -> Routing:
    """`heads` are our playbooks', `named` the twins that the owner named, `read` gives a block from anywhere."""

    async def roots() -> Collection[Cid]:
        of_playbooks = [head for some in heads().values() for head in some]
        kept = await database.read(lambda conn: [*pins.announced(conn), *hosted_pins.pinned(conn)])
        return [*of_playbooks, *kept]

    own_name = OwnName(
        keys=keys,
        name=name,
        capabilities=capabilities,
        heads=heads,
        store=store,
        database=database,
        network=network,
    )
    names = Names(own=own_name, network=network, read=read, named=named)
    providing = [Providing(network=network, roots=roots)] if provide == "roots" else []
    return Routing(own_name, names, (own_name, *providing))
