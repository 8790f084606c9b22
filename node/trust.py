"""Whom the owner named: the list that every other component asks before it does anything for another twin.

It is read on each message, so it is kept in memory; the database row is the truth.
"""

import sqlite3
from collections.abc import Awaitable, Callable

from identity.did import Did
from storage import trust as rows
from storage.database import Database
from storage.trust import Trust

OnChange = Callable[[Trust], Awaitable[None]]


class TrustList:
    """`allow` and `block` of the owner, with the settings that go with them."""

    def __init__(self, database: Database, own: Did, trust: Trust) -> None:
        self._database = database
        self._own = own
        self._trust = trust
        self._named = trust.allow - trust.block
        self._watchers: list[OnChange] = []

    @classmethod
    async def load(cls, database: Database, own: Did) -> "TrustList":
        """Read the list from the database."""
        return cls(database, own, await database.read(rows.get_trust))

    @property
    def current(self) -> Trust:
        """The list as it is now."""
        return self._trust

    @property
    def named(self) -> frozenset[Did]:
        """The twins that the owner named and did not block; without our own."""
        return self._named

    def allows(self, did: Did) -> bool:
        """Whether the owner named this twin (or it is the owner's own), and did not block it."""
        return did == self._own or did in self._named

    def blocks(self, did: Did) -> bool:
        """Whether the owner wants nothing from this twin."""
        return did in self._trust.block

    def on_change(self, watcher: OnChange) -> None:
        """Call `watcher` after each change of the list."""
        self._watchers.append(watcher)

    async def get(self) -> Trust:
        """The list as it is now."""
        return self._trust

    async def put(self, trust: Trust) -> None:
        """Replace the list, durably, then tell the watchers."""
        await self.change(lambda conn, _: trust)

    async def change(
        self, decide: Callable[[sqlite3.Connection, Trust], Trust], *, then: Callable[[], None] = lambda: None
    ) -> None:
        """Let `decide` make a new list of the present one, in one transaction with whatever else it writes.

        `then` is called once that is on disk, before the watchers are.
        """

        def store(conn: sqlite3.Connection) -> tuple[Trust, Trust]:
            before = rows.get_trust(conn)
            after = decide(conn, before)
            if after != before:
                rows.put_trust(conn, after)
            return before, after

        before, after = await self._database.write(store)
        self._trust, self._named = after, after.allow - after.block
        then()
        if after == before:
            return
        for watcher in self._watchers:
            if self._trust != after:
                return  # One of them has changed the list again: all were told of the newer one.
            await watcher(after)
