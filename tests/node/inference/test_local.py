"""The local model: loaded behind the running node, and exchanged for another one while requests are on it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from node.inference.engine import ChatRequest, ChatTurn, Completion, Engine
from node.inference.errors import InferenceUnavailable, ModelUnloadable
from node.inference.local import LocalModel, load_in_background
from tests.node.inference.fake import ScriptedEngine

HELLO = ChatRequest(turns=[ChatTurn("user", "a b c")])
ONE, TWO, BAD = Path("one"), Path("two"), Path("bad")


class Shelf:
    """Opens scripted engines by path; `gates` hold their loading back, `closed` names those that were closed."""

    def __init__(self) -> None:
        self.engines: dict[Path, ScriptedEngine] = {}
        self.gates: dict[Path, asyncio.Event] = {}
        self.loading = asyncio.Event()
        self.closed: list[str] = []

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[Engine]:
        self.loading.set()
        if path in self.gates:
            await self.gates[path].wait()
        if path == BAD:
            raise ModelUnloadable("bad")
        engine = self.engines[path] = ScriptedEngine(name=path.name, gate=asyncio.Event())
        assert engine.gate is not None
        engine.gate.set()
        try:
            yield engine
        finally:
            await engine.aclose()
            self.closed.append(path.name)


def run(test: Callable[[Shelf, LocalModel], Awaitable[None]], first: Path | None = ONE) -> Shelf:
    shelf = Shelf()

    async def main() -> None:
        async with load_in_background(first, open_=shelf.open) as model:
            await asyncio.wait_for(test(shelf, model), 10)

    asyncio.run(main())
    return shelf


def test_it_is_there_once_it_is_loaded() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        assert model.loading
        engine = await model.ready()
        assert engine is not None
        assert (engine.name, model.path, model.reason, model.loading) == ("one", ONE, None, False)
        assert (await engine.complete(HELLO)).model == "one"

    assert run(test).closed == ["one"]


def test_without_one_the_reason_is_told() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        assert await model.ready() is None
        assert "none" in (model.reason or "")

    run(test, None)


def test_one_that_cannot_be_loaded_is_a_reason_and_another_can_be_used() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        assert await model.ready() is None
        assert model.reason == "bad"
        await model.use(TWO)
        engine = await model.ready()
        assert engine is not None
        assert (engine.name, model.reason) == ("two", None)

    run(test, BAD)


def test_requests_under_way_end_on_the_old_one_and_new_ones_go_to_the_new() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        engine = await model.ready()
        assert engine is not None
        gate = shelf.engines[ONE].gate
        assert gate is not None
        gate.clear()
        under_way = asyncio.create_task(engine.complete(HELLO))
        await asyncio.sleep(0)
        await model.use(TWO)
        assert (await engine.complete(HELLO)).model == "two"
        assert shelf.closed == []
        gate.set()
        assert (await under_way).model == "one"
        while shelf.closed != ["one"]:  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0)

    assert run(test).closed == ["one", "two"]


def test_a_stream_that_was_begun_ends_on_the_old_one() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        engine = await model.ready()
        assert engine is not None
        async with aclosing(engine.stream(HELLO)) as pieces:  # type: ignore[type-var]
            await anext(pieces)
            await model.use(TWO)
            rest = [piece async for piece in pieces]
        assert isinstance(rest[-1], Completion)
        assert (rest[-1].model, rest[-1].text) == ("one", "a b c")

    run(test)


def test_one_that_cannot_be_loaded_leaves_the_present_one() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        engine = await model.ready()
        with pytest.raises(ModelUnloadable):
            await model.use(BAD)
        assert engine is not None
        assert (await engine.complete(HELLO)).model == "one"
        assert model.path == ONE

    assert run(test).closed == ["one"]


def test_the_old_one_serves_while_the_new_one_is_loaded() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        engine = await model.ready()
        assert engine is not None
        shelf.gates[TWO] = asyncio.Event()
        shelf.loading.clear()
        using = asyncio.create_task(model.use(TWO))
        await shelf.loading.wait()
        assert (await engine.complete(HELLO)).model == "one"
        shelf.gates[TWO].set()
        await using
        assert (await engine.complete(HELLO)).model == "two"

    run(test)


def test_a_caller_that_leaves_does_not_stop_the_exchange() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        await model.ready()
        shelf.gates[TWO] = asyncio.Event()
        shelf.loading.clear()
        using = asyncio.create_task(model.use(TWO))
        await shelf.loading.wait()
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        shelf.gates[TWO].set()
        while model.path != TWO:  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0)

    assert run(test).closed == ["one", "two"]


def test_no_model_can_be_used_too() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        engine = await model.ready()
        assert engine is not None
        await model.use(None)
        assert model.engine is None
        assert model.path is None
        with pytest.raises(InferenceUnavailable, match="no model"):
            await engine.complete(HELLO)

    assert run(test).closed == ["one"]


def test_the_twin_stops_whatever_runs_or_loads() -> None:
    streams = []

    async def test(shelf: Shelf, model: LocalModel) -> None:
        engine = await model.ready()
        assert engine is not None
        streams.append(engine.stream(HELLO))
        await anext(streams[0])  # and nobody reads on
        shelf.gates[TWO] = asyncio.Event()
        shelf.loading.clear()
        using = asyncio.create_task(model.use(TWO))
        await shelf.loading.wait()
        asyncio.get_running_loop().call_later(0.01, shelf.gates[TWO].set)
        using.cancel()

    assert sorted(run(test).closed) == ["one", "two"]


def test_exchanges_come_one_after_the_other() -> None:
    async def test(shelf: Shelf, model: LocalModel) -> None:
        await asyncio.gather(model.use(TWO), model.use(ONE), model.use(TWO))
        engine = await model.ready()
        assert engine is not None
        assert engine.name == "two"

    assert run(test).closed.count("one") == 2
