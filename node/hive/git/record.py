"""What is remembered of a Git repository: how far it was pulled and pushed. One row, written after the work is done."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from storage import meta
from storage.database import Database


@dataclass(frozen=True, slots=True)
class Record:
    """`file` is the playbook.toml that was taken last, `blobs` the artifacts that were looked at (name to blob id).

    `problems` are what of `commit` was not taken. `pushed_seq` is the number of the newest revision that was considered
    for a push, `pushed_blobs` are the last artifacts of our own.
    """

    commit: str | None = None
    file: str | None = None
    blobs: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    pulled_ms: int | None = None
    pushed_seq: int = 0
    pushed_blobs: tuple[str, ...] = ()
    branch: str | None = None
    pushed_ms: int | None = None


class Records:
    """The record of one playbook and repository. Another URL, or another branch, begins anew."""

    def __init__(self, database: Database, playbook: str, url: str, base_branch: str) -> None:
        self._database = database
        where = hashlib.sha256(f"{url}\n{base_branch}".encode()).hexdigest()[:32]
        self._key = f"git/{playbook}/{where}"

    async def get(self) -> Record:
        """What is known; nothing at first."""
        text = await self._database.read(lambda conn: meta.get(conn, self._key))
        if text is None:
            return Record()
        kept = orjson.loads(text)
        return Record(**{**kept, "problems": tuple(kept["problems"]), "pushed_blobs": tuple(kept["pushed_blobs"])})

    async def put(self, record: Record) -> None:
        """Remember this from now on."""
        text = orjson.dumps(record).decode()
        await self._database.write(lambda conn: meta.put(conn, self._key, text))


def blob_id(text: str) -> str:
    """The id that Git gives a file with this text (gitformat-pack: SHA-1 over a header and the content)."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
