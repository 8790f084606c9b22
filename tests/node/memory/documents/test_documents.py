"""Documents as memories: only what is new is added, what is gone is forgotten, and a crash in between is mended."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.memory.documents.documents import Documents
from node.memory.documents.errors import DocumentError, DocumentTooLarge, DocumentUnknown, DocumentUnreadable
from node.memory.documents.reading import MAX_DOCUMENT_BYTES
from node.memory.memory import Memory
from node.memory.record import By, NewMemory
from storage.database import Database
from tests.node.memory.documents.files import GUIDE, PAGE, pdf
from tests.node.memory.fake import WordEmbedder

PATH = "/home/ada/guide.md"


class Crash(Exception):
    """The process would have ended here."""


@dataclass
class Failing:
    """The memory, until it has added so many times."""

    memory: Memory
    adds_left: int
    added: list[str] = field(default_factory=list)

    async def add_many(self, items: Sequence[NewMemory], *, by: By) -> list[str]:
        if self.adds_left == 0:
            raise Crash
        self.adds_left -= 1
        return await self.memory.add_many(items, by=by)

    async def forget_many(self, memory_ids: Sequence[str]) -> int:
        raise Crash


Test = Callable[[Documents, Memory, Database], Awaitable[None]]


def use(path: Path, test: Test) -> None:
    async def main() -> None:
        async with (
            Database.open(path / "node.db") as database,
            Memory.open(database, WordEmbedder()) as memory,
        ):
            await test(Documents(database, memory), memory, database)

    asyncio.run(main())


async def held(memory: Memory) -> list[str]:
    return sorted(row.content for row in (await memory.list(limit=500)).items)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_each_piece_is_a_memory_that_says_where_it_is_from(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        taken = await documents.take(GUIDE, source=PATH, namespace="domain", tags=("kiln",))
        assert (taken.title, taken.pieces, taken.added, taken.forgotten) == ("Kiln guide", 5, 5, 0)
        [found] = await memory.search("bisque firing ends at degrees", k=1)
        assert (found.source, found.namespace, found.tags, found.kind) == (PATH, "domain", ("kiln",), "semantic")
        assert found.content.startswith("Firing › Bisque: ")
        [row] = (await documents.list(10)).items
        assert (row.source, row.kind, row.pieces, row.sha256) == (PATH, "markdown", 5, digest(GUIDE))

    use(tmp_path, test)


def test_what_has_not_changed_is_known_and_read_again_adds_nothing(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        same, other = (PATH, digest(GUIDE)), (PATH, digest(b"other"))
        assert await documents.unchanged([same], namespace="domain") == []
        await documents.take(GUIDE, source=PATH, namespace="domain")
        assert await documents.unchanged([same, ("/x", digest(GUIDE))], namespace="domain") == [PATH]
        assert await documents.unchanged([other], namespace="domain") == []
        assert await documents.unchanged([same], namespace="shared") == []
        again = await documents.take(GUIDE, source=PATH, namespace="domain")
        assert (again.added, again.forgotten) == (0, 0)

    use(tmp_path, test)


def test_of_a_changed_document_only_the_changed_pieces_change(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await documents.take(GUIDE, source=PATH, namespace="domain")
        before = {row.id: row.content for row in (await memory.list(limit=100)).items}
        taken = await documents.take(GUIDE.replace(b"980", b"990"), source=PATH, namespace="domain")
        assert (taken.pieces, taken.added, taken.forgotten) == (5, 1, 1)
        after = {row.id: row.content for row in (await memory.list(limit=100)).items}
        assert len(before.keys() & after.keys()) == 4
        assert not any("980" in content for content in after.values())
        assert [found.id for found in await memory.search("ends at 980 degrees bisque", k=50)].count("") == 0

    use(tmp_path, test)


def test_a_document_that_moves_to_another_namespace_leaves_nothing_in_the_old_one(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await documents.take(GUIDE, source=PATH, namespace="shared")
        await documents.take(GUIDE, source=PATH, namespace="domain")
        assert {row.namespace for row in (await memory.list(limit=100)).items} == {"domain"}
        assert len(await held(memory)) == 5

    use(tmp_path, test)


@pytest.mark.parametrize("adds_left", [0, 1])
def test_what_a_crash_left_half_done_is_finished_the_next_time(tmp_path: Path, adds_left: int) -> None:
    paragraph = b"Paragraph number %d has a handful of words that nobody else has, and an end."
    long = b"\n\n".join(paragraph % n for n in range(400))

    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await documents.take(GUIDE, source=PATH, namespace="domain")
        with pytest.raises(Crash):
            await Documents(database, Failing(memory, adds_left)).take(long, source=PATH, namespace="domain")
        assert await documents.unchanged([(PATH, digest(long))], namespace="domain") == []
        taken = await documents.take(long, source=PATH, namespace="domain")
        assert taken.pieces == 400
        contents = await held(memory)
        assert len(contents) == len(set(contents)) == 400

    use(tmp_path, test)


def test_the_same_document_twice_at_once_is_remembered_once(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await asyncio.gather(*(documents.take(GUIDE, source=PATH, namespace="domain") for _ in range(4)))
        assert len(await held(memory)) == 5

    use(tmp_path, test)


def test_while_one_waits_a_third_does_not_go_ahead(tmp_path: Path) -> None:
    class Slow:
        """The memory, with a pause after what is added, in which a third may come."""

        def __init__(self, memory: Memory) -> None:
            self.memory = memory
            self.added: asyncio.Queue[None] = asyncio.Queue()
            self.go_on = asyncio.Semaphore(0)

        async def add_many(self, items: Sequence[NewMemory], *, by: By) -> list[str]:
            self.added.put_nowait(None)
            await self.go_on.acquire()
            return await self.memory.add_many(items, by=by)

        async def forget_many(self, memory_ids: Sequence[str]) -> int:
            return await self.memory.forget_many(memory_ids)

    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        slow = Slow(memory)
        documents = Documents(database, slow)
        versions = [b"The first of three texts has this sentence.", b"The second has another sentence in it."]
        first, second = (
            asyncio.create_task(documents.take(data, source=PATH, namespace="domain")) for data in versions
        )
        await slow.added.get()
        slow.go_on.release()
        await first
        await slow.added.get()  # the second is at work
        third = asyncio.create_task(documents.take(versions[1], source=PATH, namespace="domain"))
        gone = asyncio.create_task(documents.remove(PATH))
        for _ in range(3):
            slow.go_on.release()
        await asyncio.gather(second, third, gone)
        assert await held(memory) == []
        assert (await documents.list(10)).items == ()

    use(tmp_path, test)


def test_what_a_crash_left_half_done_is_not_known_as_it_was_before(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await documents.take(GUIDE, source=PATH, namespace="domain")
        with pytest.raises(Crash):
            await Documents(database, Failing(memory, 1)).take(b"Another text.", source=PATH, namespace="domain")
        assert await documents.unchanged([(PATH, digest(GUIDE))], namespace="domain") == []
        await documents.take(GUIDE, source=PATH, namespace="domain")
        assert len(await held(memory)) == 5
        assert await documents.unchanged([(PATH, digest(GUIDE))], namespace="domain") == [PATH]

    use(tmp_path, test)


@pytest.mark.parametrize("source", ["told", "api", "conversation", "self"])
def test_what_the_owner_told_is_no_piece_of_a_document(tmp_path: Path, source: str) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await memory.add(kind="semantic", content="The spare key is with Ines.", source=source)
        with pytest.raises(DocumentError):
            await documents.take(GUIDE, source=source, name="guide.md", namespace="private")
        assert await held(memory) == ["The spare key is with Ines."]

    use(tmp_path, test)


def test_code_with_as_many_tags_as_there_may_be(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        tags = [f"tag{n}" for n in range(16)]
        assert (await documents.take(b"print(1)", source="/a.py", namespace="domain", tags=tags)).added == 1

    use(tmp_path, test)


def test_forgetting_a_document_forgets_its_memories_and_no_others(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        await documents.take(GUIDE, source=PATH, namespace="domain")
        await memory.add(kind="semantic", content="The spare key is with Ines.")
        assert await documents.remove(PATH) == 5
        assert await held(memory) == ["The spare key is with Ines."]
        assert (await documents.list(10)).items == ()
        with pytest.raises(DocumentUnknown):
            await documents.remove(PATH)

    use(tmp_path, test)


@pytest.mark.slow
def test_html_and_pdf_are_read_in_a_process_of_their_own(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        assert (await documents.take(PAGE, source="https://mill.example/", name="index.html", namespace="domain")).added
        assert (await documents.take(pdf(["Its crane lifts four tonnes."]), source="/a.pdf", namespace="domain")).added
        assert "page 1: Its crane lifts four tonnes." in await held(memory)
        with pytest.raises(DocumentUnreadable):
            await documents.take(b"%PDF-", source="/b.pdf", namespace="domain")

    use(tmp_path, test)


@pytest.mark.parametrize(
    ("source", "data", "error"),
    [
        ("/x.bin", b"x", DocumentError),
        ("/x.txt", b"ELF\0\0", DocumentUnreadable),
        ("/x.txt", b" " * (MAX_DOCUMENT_BYTES + 1), DocumentTooLarge),
        (" ", b"x", DocumentError),
        ("/" + "x" * 1100 + ".txt", b"x", DocumentError),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    tmp_path: Path, source: str, data: bytes, error: type[DocumentError]
) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        with pytest.raises(error):
            await documents.take(data, source=source, namespace="domain")
        assert await held(memory) == []
        assert (await documents.list(10)).items == ()

    use(tmp_path, test)


def test_the_owner_may_write_into_the_soul_by_a_document(tmp_path: Path) -> None:
    async def test(documents: Documents, memory: Memory, database: Database) -> None:
        taken = await documents.take(
            b"I speak plainly and never boast of what I did.", source="/me.txt", namespace="soul"
        )
        assert taken.added == 1

    use(tmp_path, test)
