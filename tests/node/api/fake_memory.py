"""The memory of the fake twin: rows in a list, searched by their words, with every part that the routes use."""

import uuid
from collections.abc import Sequence
from typing import Any

from node.memory.consolidation import Pass
from node.memory.errors import NothingNamed
from node.memory.forgetting import Forgotten, Held, Target
from node.memory.indexing import IndexState
from node.memory.privacy import Privacy
from node.memory.record import NewMemory, Recalled, recalled
from storage.memories import MemoryRow
from storage.memory_links import Ties
from storage.namespaces import NamespaceRow
from storage.page import Page
from storage.working import SessionRow


def page(rows: Sequence[Any], limit: int, after: str | None) -> Page[Any]:
    """A page whose cursor is the number of rows before it."""
    start = int(after or 0)
    end = start + limit
    return Page(tuple(rows[start:end]), str(end) if end < len(rows) else None)


class FakeMemory:
    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.rows: list[MemoryRow] = []
        self.index = FakeIndex(self)

    async def add_many(self, items: Sequence[NewMemory], *, by: str) -> list[str]:
        assert by == "owner"
        for item in items:
            row = MemoryRow(
                len(self.rows) + 1,
                str(uuid.uuid4()),
                item.kind,
                item.content,
                item.namespace,
                item.role,
                item.session_id,
                item.tags,
                item.source,
                self.now_ms,
                "words",
                importance=item.importance,
                expires_ms=item.expires_ms,
                happened_ms=self.now_ms,
            )
            self.rows.insert(0, row)
        return [row.id for row in self.rows[: len(items)]][::-1]

    async def list(
        self,
        *,
        limit: int,
        after: str | None = None,
        namespace: str | None = None,
        kind: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
    ) -> Page[MemoryRow]:
        rows = [
            row
            for row in self.rows
            if namespace in (None, row.namespace)
            and kind in (None, row.kind)
            and session_id in (None, row.session_id)
            and source in (None, row.source)
        ]
        return page(rows, limit, after)

    async def get(self, memory_id: str) -> MemoryRow | None:
        return next((row for row in self.rows if row.id == memory_id), None)

    async def ties(self, row: MemoryRow) -> Ties:
        others = tuple(other.id for other in self.rows if other.id != row.id)
        return Ties(made_from=others, made_into=(), contradicts=(), merged_into=None, said_before=())


class FakeIndex:
    def __init__(self, memory: FakeMemory) -> None:
        self._memory = memory

    async def state(self) -> IndexState:
        count = len(self._memory.rows)
        return IndexState(
            model_id="words",
            dimensions=64,
            vectors=count,
            memories=count,
            waiting=0,
            unreachable=0,
            exact=True,
            filled=1.0,
            task="idle",
        )


class FakeRecall:
    def __init__(self, memory: FakeMemory) -> None:
        self._memory = memory

    async def recall(
        self,
        query: str,
        *,
        k: int,
        kinds: Sequence[str],
        namespaces: Sequence[str] | None,
        happened: tuple[int, int] | None,
    ) -> list[Recalled]:
        return [
            recalled(row, 1.0)
            for row in self._memory.rows
            if query in row.content
            and row.kind in kinds
            and (namespaces is None or row.namespace in namespaces)
            and (happened is None or happened[0] <= row.happened_ms < happened[1])
        ][:k]


class FakeNamespaces:
    def __init__(self) -> None:
        self.rows = {
            name: NamespaceRow(name, privacy, "", name == "soul", 0)
            for name, privacy in (("private", "private"), ("shared", "shared"), ("soul", "private"))
        }

    async def list(self) -> list[NamespaceRow]:
        return [self.rows[name] for name in sorted(self.rows)]

    async def set(self, name: str, privacy: Privacy) -> None:
        self.rows[name] = NamespaceRow(name, privacy, "", False, 0)


class FakeWorking:
    def __init__(self, memory: FakeMemory) -> None:
        self._memory = memory

    def expires_ms(self) -> int:
        return self._memory.now_ms + 1000

    async def sessions(self, *, limit: int, after: str | None) -> Page[SessionRow]:
        names = sorted({row.session_id for row in self._memory.rows if row.session_id is not None})
        now = self._memory.now_ms
        return page([SessionRow(1, name, 1, 0, 0, now, now) for name in names], limit, after)


class FakeEpisodes:
    def __init__(self, memory: FakeMemory) -> None:
        self._memory = memory

    async def between(self, from_ms: int, to_ms: int, *, limit: int, after: str | None) -> Page[MemoryRow]:
        rows = [row for row in self._memory.rows if row.kind == "episodic" and from_ms <= row.happened_ms < to_ms]
        return page(rows, limit, after)


class FakeForgetting:
    def __init__(self, memory: FakeMemory) -> None:
        self._memory = memory

    async def about(self, query: str, *, namespace: str | None) -> list[MemoryRow]:
        return [row for row in self._memory.rows if query in row.content and namespace in (None, row.namespace)]

    async def preview(self, target: Target) -> Forgotten:
        if not target.named:
            raise NothingNamed("nothing was named")
        rows = [
            row
            for row in self._memory.rows
            if (not target.ids or row.id in target.ids)
            and target.namespace in (None, row.namespace)
            and target.session_id in (None, row.session_id)
            and target.source in (None, row.source)
        ]
        held = (Held("message", "m1", "to did:key:z6Mk"),) if rows else ()
        return Forgotten(named=len(rows), also=1 if rows else 0, jobs=0, shown=tuple(rows), held=held)

    async def forget(self, target: Target) -> Forgotten:
        done = await self.preview(target)
        self._memory.rows = [row for row in self._memory.rows if row not in done.shown]
        return done


class FakeConsolidation:
    """Two passes have something to do, and no more."""

    def __init__(self) -> None:
        self._left = 2

    async def consolidate(self) -> Pass:
        self._left = max(0, self._left - 1)
        return Pass(episodes=1, merged=2, more=self._left > 0)


class FakeRemembering:
    """Stands for MemoryParts."""

    def __init__(self, memory: FakeMemory) -> None:
        self.memory: Any = memory
        self.recall = FakeRecall(memory)
        self.namespaces = FakeNamespaces()
        self.working = FakeWorking(memory)
        self.episodes = FakeEpisodes(memory)
        self.forgetting = FakeForgetting(memory)
        self.consolidation = FakeConsolidation()
