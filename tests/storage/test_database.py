import asyncio
import resource
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import connection, meta
from storage.database import Database
from storage.errors import DatabaseClosed, DatabaseDamaged, DatabaseLocked, StorageFailed, StorageFull


def put(key: str, value: str = "v") -> Callable[[sqlite3.Connection], None]:
    return lambda conn: meta.put(conn, key, value)


def get(key: str) -> Callable[[sqlite3.Connection], str | None]:
    return lambda conn: meta.get(conn, key)


def keys(conn: sqlite3.Connection) -> set[str]:
    return {row[0] for row in conn.execute("SELECT key FROM meta")}


def test_what_was_written_is_read_and_survives_closing(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            await database.write(put("a", "1"))
            assert await database.read(get("a")) == "1"
        async with Database.open(tmp_path / "node.db") as database:
            assert await database.read(get("a")) == "1"

    asyncio.run(main())


def test_the_file_is_the_owners_alone_and_syncs_every_commit(tmp_path: Path) -> None:
    def pragma(name: str) -> Callable[[sqlite3.Connection], object]:
        return lambda conn: conn.execute(f"PRAGMA {name}").fetchone()[0]

    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            assert await database.write(pragma("journal_mode")) == "wal"
            assert await database.write(pragma("synchronous")) == 2
            assert await database.write(pragma("foreign_keys")) == 1
            assert await database.write(pragma("trusted_schema")) == 0
            files = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
            assert {file.name for file in files} == {"node.db", "node.db-wal", "node.db-shm"}
            assert not any(file.stat().st_mode & 0o077 for file in files)

    asyncio.run(main())


def test_writes_that_queue_together_share_one_commit(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            started, go_on = threading.Event(), threading.Event()

            def slow(conn: sqlite3.Connection) -> None:
                started.set()
                go_on.wait()

            first = asyncio.create_task(database.write(slow))
            await asyncio.to_thread(started.wait)
            others = [asyncio.create_task(database.write(put(str(number)))) for number in range(100)]
            await asyncio.sleep(0)  # each task has handed its write over
            go_on.set()
            await asyncio.gather(first, *others)
            assert database.counters() == {"writes": 101, "commits": 2}
            assert await database.read(keys) == {str(number) for number in range(100)}

    asyncio.run(main())


def test_a_write_that_raises_takes_back_only_itself(tmp_path: Path) -> None:
    class Refused(Exception):
        pass

    def bad(conn: sqlite3.Connection) -> None:
        meta.put(conn, "bad", "v")
        raise Refused

    def wrong_sql(conn: sqlite3.Connection) -> None:
        meta.put(conn, "wrong", "v")
        conn.execute("INSERT INTO inbox (message_id) VALUES ('x')")

    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            results = await asyncio.gather(
                database.write(put("before")),
                database.write(bad),
                database.write(wrong_sql),
                database.write(put("after")),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [type(None), Refused, sqlite3.IntegrityError, type(None)]
            assert await database.read(keys) == {"before", "after"}

    asyncio.run(main())


def test_maintenance_runs_alone_and_in_its_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:

            def fails(conn: sqlite3.Connection) -> None:
                assert not conn.in_transaction
                conn.execute("BEGIN")
                conn.execute("INSERT INTO meta VALUES ('half', 'done')")
                raise ValueError

            before = database.write(lambda conn: meta.put(conn, "a", "1"))
            alone = database.maintain(lambda conn: (conn.in_transaction, meta.get(conn, "a"), meta.get(conn, "b")))
            failing = database.maintain(fails)
            after = database.write(lambda conn: meta.put(conn, "b", "2"))
            results = await asyncio.gather(before, alone, failing, after, return_exceptions=True)
            assert results[1] == (False, "1", None)
            assert isinstance(results[2], ValueError)
            assert await database.read(lambda conn: meta.get(conn, "half")) is None
            assert await database.read(lambda conn: meta.get(conn, "b")) == "2"
            await database.maintain(lambda conn: conn.execute("VACUUM") and None)

    asyncio.run(main())


def test_an_error_that_a_future_cannot_carry_still_reaches_its_caller(tmp_path: Path) -> None:
    def exhausted(conn: sqlite3.Connection) -> str:
        empty: list[str] = []
        return next(iter(empty))

    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            results = await asyncio.gather(
                database.write(exhausted), database.write(put("a")), database.read(exhausted), return_exceptions=True
            )
            assert [type(result) for result in results] == [RuntimeError, type(None), RuntimeError]

    asyncio.run(main())


def test_a_cancelled_caller_does_not_take_its_write_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            started, go_on = threading.Event(), threading.Event()

            def slow(conn: sqlite3.Connection) -> None:
                started.set()
                go_on.wait()
                meta.put(conn, "slow", "v")

            task = asyncio.create_task(database.write(slow))
            await asyncio.to_thread(started.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            await database.write(put("next"))
            assert await database.read(keys) == {"slow", "next"}

    asyncio.run(main())


def test_closing_writes_all_that_has_queued_then_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            tasks = [asyncio.create_task(database.write(put(str(number)))) for number in range(3000)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        with pytest.raises(DatabaseClosed):
            await database.write(put("late"))
        with pytest.raises(DatabaseClosed):
            await database.read(keys)
        async with Database.open(tmp_path / "node.db") as database:
            assert len(await database.read(keys)) == 3000

    asyncio.run(main())


def test_a_reader_sees_one_unchanging_view_and_cannot_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            looked, written = threading.Event(), threading.Event()

            def look_twice(conn: sqlite3.Connection) -> tuple[set[str], set[str]]:
                before = keys(conn)
                looked.set()
                written.wait()
                return before, keys(conn)

            reading = asyncio.create_task(database.read(look_twice))
            await asyncio.to_thread(looked.wait)
            await database.write(put("a"))
            written.set()
            assert await reading == (set(), set())
            assert await database.read(keys) == {"a"}
            with pytest.raises(StorageFailed, match="readonly"):
                await database.read(put("b"))
            assert await database.read(keys) == {"a"}

    asyncio.run(main())


def test_a_full_disk_acknowledges_nothing_and_passes_when_space_returns(tmp_path: Path) -> None:
    def limit_pages(conn: sqlite3.Connection, spare: int) -> None:
        conn.execute(f"PRAGMA max_page_count={conn.execute('PRAGMA page_count').fetchone()[0] + spare}")

    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            await database.write(lambda conn: limit_pages(conn, 20))
            stored: set[str] = set()
            refused: set[str] = set()
            for round_number in range(20):
                names = [f"{round_number}-{number}" for number in range(8)]
                results = await asyncio.gather(
                    *(database.write(put(name, "x" * 2000)) for name in names), return_exceptions=True
                )
                for name, result in zip(names, results, strict=True):
                    assert result is None or isinstance(result, StorageFull)
                    (refused if result else stored).add(name)
            assert stored
            assert refused
            assert await database.read(keys) == stored
            await database.write(lambda conn: limit_pages(conn, 10_000))
            await database.write(put("space again"))
            assert await database.read(keys) == stored | {"space again"}
            assert await database.read(lambda conn: conn.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"

    asyncio.run(main())


def test_a_disk_that_refuses_the_commit_acknowledges_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            await database.write(put("before"))
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            try:
                # Larger than the limit, smaller than the page cache: only the commit writes it to the log.
                writes = [database.write(put(str(number), "x" * 30_000)) for number in range(20)]
                results = await asyncio.gather(*writes, return_exceptions=True)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert {type(result) for result in results} == {StorageFailed}
            assert len({id(result) for result in results}) == 20  # each caller has an error of its own
            assert await database.read(keys) == {"before"}
            await database.write(put("after"))
            assert await database.read(keys) == {"before", "after"}
            assert await database.read(lambda conn: conn.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"

    asyncio.run(main())


def test_a_write_that_ends_the_transaction_itself_is_never_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            with pytest.raises(StorageFailed):
                await database.write(lambda conn: conn.execute("ROLLBACK"))
            await database.write(put("next"))
            assert await database.read(keys) == {"next"}

    asyncio.run(main())


def test_a_database_that_another_process_holds_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 1)

    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            other = sqlite3.connect(tmp_path / "node.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseLocked, match="another process"):
                await database.write(put("a"))
            other.execute("ROLLBACK")
            other.close()
            await database.write(put("b"))
            assert await database.read(keys) == {"b"}

    asyncio.run(main())


def test_a_new_database_that_another_process_holds_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 1)
    other = sqlite3.connect(tmp_path / "node.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    async def main() -> None:
        async with Database.open(tmp_path / "node.db"):
            pytest.fail("opened")

    with pytest.raises(DatabaseLocked):
        asyncio.run(main())
    other.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"not a database, only long enough to look at" * 100)

    async def main() -> None:
        async with Database.open(tmp_path / "node.db"):
            pytest.fail("opened")

    with pytest.raises(DatabaseDamaged):
        asyncio.run(main())


def test_a_place_that_cannot_hold_a_file_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "missing" / "node.db"):
            pytest.fail("opened")

    with pytest.raises(StorageFailed, match="No such file"):
        asyncio.run(main())
