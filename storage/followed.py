"""The playbooks that the owner wants to have here, besides those of the configuration and those that have revisions."""

import json
import sqlite3
from typing import Final

from storage import meta

_KEY: Final = "playbooks_followed"


def names(conn: sqlite3.Connection) -> list[str]:
    """Their names, sorted."""
    kept = meta.get(conn, _KEY)
    return [] if kept is None else [str(name) for name in json.loads(kept)]


def add(conn: sqlite3.Connection, name: str) -> None:
    """Follow one more."""
    meta.put(conn, _KEY, json.dumps(sorted({*names(conn), name})))
