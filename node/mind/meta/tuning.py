"""The settings of this twin that the meta-learner may change, on disk and in memory: read at any time, never awaited.

Whoever works by one of them asks for it when it is needed, so that a change holds from the next goal on. What is not
set has its usual value.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from identity.cid import Cid
from identity.did import Did
from storage import meta_learning as rows
from storage.database import Database

Key = Literal["load_shift", "blends", "harmless", "max_depth", "answered_ttl_s", "exported_model", "trial"]

MAX_EXAMPLES: Final = 50
"""Goals that were refused wrongly and are kept as examples of harmless ones: as many as the original design labels."""


class Tuning:
    """To be loaded once before use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values: dict[str, Any] = {}
        self._watchers: list[Callable[[], None]] = []

    async def load(self) -> None:
        """Read what is set."""
        self._values = await self._database.read(rows.tuning)
        self._tell()

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after each change, and after loading."""
        self._watchers.append(watcher)

    def get(self, key: Key) -> Any:
        """A setting's value, None if it is not set."""
        return self._values.get(key)

    @property
    def all(self) -> Mapping[str, Any]:
        """All that is set."""
        return dict(self._values)

    async def restore(self, values: Mapping[str, Any], *, also: Callable[[sqlite3.Connection], None]) -> None:
        """Set exactly these, and write `also` in the same transaction."""
        changed = [key for key in {*values, *self._values} if values.get(key) != self._values.get(key)]

        def store(conn: sqlite3.Connection) -> None:
            for key in changed:
                rows.set_tuning(conn, key, values.get(key))
            also(conn)

        await self._database.write(store)
        self._values = dict(values)
        self._tell()

    async def put(
        self, key: Key, value: object, *, also: Callable[[sqlite3.Connection], None] = lambda conn: None
    ) -> Mapping[str, Any]:
        """Change a setting durably; what undoes that, for `Taken.undo`."""
        before = self._values.get(key)

        def store(conn: sqlite3.Connection) -> None:
            rows.set_tuning(conn, key, value)
            also(conn)

        await self._database.write(store)
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
        self._tell()
        return {"tuning": [key, before], "now": value}

    async def write(self, also: Callable[[sqlite3.Connection], None]) -> None:
        """Write something else to the same database."""
        await self._database.write(also)

    # What others read

    def shifted_share(self, did: Did) -> float:
        """The share of a twin's questions that go to others instead."""
        shifts = self._values.get("load_shift") or {}
        return float(shifts.get(did, 0.0))

    def blend(self, first: str, second: str) -> tuple[float, float] | None:
        """The weights of two playbooks that goals which neither fits well are given together; None if they are not."""
        for blend in self._values.get("blends") or ():
            if sorted(blend["playbooks"]) == sorted((first, second)):
                weights = dict(zip(blend["playbooks"], blend["weights"], strict=True))
                return float(weights[first]), float(weights[second])
        return None

    def trial(self, playbook: str) -> tuple[Cid, Sequence[tuple[str, str]]] | None:
        """Rules, as (section, text), that half of the goals of a playbook are given to see what that does, and the name
        by which the outcomes are kept apart; None if there is no trial."""
        trial = self._values.get("trial")
        if trial is None or trial["playbook"] != playbook:
            return None
        return Cid.parse(trial["cid"]), [(section, text) for section, text in trial["rules"]]

    def harmless(self) -> Sequence[str]:
        """Goals that the owner said were refused wrongly."""
        return tuple(self._values.get("harmless") or ())

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()
