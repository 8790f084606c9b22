"""Records of models."""

import asyncio
from pathlib import Path

from storage import models
from storage.database import Database
from storage.models import NewModel

TINY = NewModel(
    name="tiny",
    source="owner/repo:tiny.gguf",
    path="/models/tiny.gguf",
    own_file=True,
    size_bytes=10,
    sha256="a" * 64,
    parameters=1,
    weights=None,
    licence=None,
    licence_url=None,
)


def test_a_record_is_kept_shared_replaced_and_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            await database.write(lambda conn: models.put(conn, TINY, 1))
            row = await database.read(models.to_share)
            assert row is not None
            assert (row.name, row.own_file, row.cid, row.added_ms) == ("tiny", True, None, 1)

            assert await database.write(lambda conn: models.note_shared(conn, row, None, "full"))
            assert await database.read(models.to_share) is None
            await database.write(models.share_again)
            assert await database.write(lambda conn: models.note_shared(conn, row, "bafy", None))
            assert await database.read(lambda conn: models.shared_by(conn, "bafy")) == 1
            assert await database.read(models.to_share) is None

            await database.write(lambda conn: models.put(conn, TINY, 2))
            kept = await database.read(lambda conn: models.get(conn, "tiny"))
            assert kept is not None
            assert (kept.cid, kept.added_ms) == ("bafy", 1), "the same content stays shared"

            other = NewModel(**{**_fields(TINY), "sha256": "b" * 64})
            await database.write(lambda conn: models.put(conn, other, 3))
            changed = await database.read(lambda conn: models.get(conn, "tiny"))
            assert changed is not None
            assert changed.cid is None
            assert not await database.write(lambda conn: models.note_shared(conn, row, "late", None))

            await database.write(lambda conn: models.remove(conn, "tiny"))
            assert (await database.read(lambda conn: models.list_models(conn, limit=9))).items == ()

    asyncio.run(main())


def _fields(model: NewModel) -> dict[str, object]:
    return {name: getattr(model, name) for name in NewModel.__slots__}
