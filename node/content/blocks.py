"""The port to wherever the blocks of content are: the embedded store with our own bitswap, or a Kubo.

Both backends pass the same contract tests. A playbook's revisions are not behind this port: a twin needs those at
once, offline and durably, so they are always in the embedded store (docs/decisions/content.md).
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from identity.cid import Cid
from storage.page import Page
from storage.pins import Pin, PinKind

Backend = Literal["embedded", "kubo"]

Roots = Callable[[], Awaitable[Collection[Cid]]]
"""Finds roots of DAGs that are needed although nobody has pinned them."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is kept, and how much may be. `blocks` is None where counting them would cost too much."""

    size_bytes: int
    quota_bytes: int
    blocks: int | None


@dataclass(frozen=True, slots=True)
class Collected:
    """What a garbage collection removed."""

    blocks: int
    size_bytes: int


class Hold(Protocol):
    """Blocks of one transfer under way: no garbage collection takes them before it is left."""

    async def put_many(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        """Keep blocks: they are on disk when this returns. Raises a StorageError, or BackendUnavailable."""

    async def keep(self, cids: Sequence[Cid]) -> None:
        """Hold blocks that are here already."""

    async def roll_back(self) -> None:
        """Remove what this hold brought in and was not here before, nor is held by anybody else."""


class Blocks(Protocol):
    """Where blocks are kept, and where others are fetched from."""

    @property
    def backend(self) -> Backend: ...

    async def get(self, cid: Cid) -> bytes | None:
        """A block that is here, its hash checked; None if it is not. Never asks the network."""

    async def has(self, cid: Cid) -> bool: ...

    async def fetch(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """Blocks from elsewhere, their hashes checked: those that were found. Nothing is kept of them."""

    def hold(self) -> AbstractAsyncContextManager[Hold]:
        """Begin a transfer."""

    async def pin(self, cid: Cid, kind: PinKind, name: str | None = None) -> None:
        """Keep a block, or all of a DAG that is here. A pin of this CID that is there gets this kind and name."""

    async def unpin(self, cid: Cid) -> bool:
        """Whether it was pinned. Its blocks stay until the next collection."""

    async def pins(
        self, *, limit: int, after: str | None = None, kind: PinKind | None = None, name: str | None = None
    ) -> Page[Pin]:
        """What is pinned, oldest first."""

    async def collect(self, also: Roots | None = None) -> Collected:
        """Remove every block that no pin, no hold and none of the DAGs under what `also` gives needs.

        `also` is asked when the collection is under way: what it does not name yet is held, or put meanwhile.
        """

    async def usage(self) -> Usage: ...

    async def check(self) -> str:
        """One line about the backend for the owner. Raises BackendUnavailable if it does not answer."""
