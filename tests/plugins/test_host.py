"""The plugin host: no tool, and no caller, can hurt the node."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.errors import (
    BadArguments,
    BadPlugin,
    HostBusy,
    ToolExists,
    ToolFailed,
    ToolNotFound,
    ToolOutputUnusable,
    ToolTimeout,
)
from plugins.host import FAILING_AFTER, PluginHost, ToolInfo
from plugins.sdk import Plugin, Tool, ToolError, tool

HERE = Path(__file__)


@tool(description="Repeats a word.")
async def repeat(word: str, times: int = 2) -> str:
    return " ".join([word] * times)


def of(*tools: Tool, name: str = "example", version: str = "1.0.0", skills: Path = HERE) -> Plugin:
    return Plugin(name=name, version=version, tools=tools, skills=skills)


def host_with(*tools: Tool, timeout_s: float = 10) -> PluginHost:
    host = PluginHost(timeout_s=timeout_s)
    host.register(of(*tools))
    return host


def broken(run: Callable[[], Awaitable[Any]], name: str = "broken") -> Tool:
    async def call(parameters: Any) -> Any:
        return await run()

    return Tool(name, "d", {"type": "object"}, call)


def test_a_listing_says_what_a_caller_needs() -> None:
    host = host_with(repeat)
    assert host.list() == (ToolInfo("repeat", "Repeats a word.", repeat.parameters, "example", "builtin", "ok"),)
    assert host.plugins() == (of(repeat),)
    assert asyncio.run(host.execute("repeat", {"word": "hey"})) == "hey hey"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({}, "word"),
        ({"word": 3}, "word: "),
        ({"word": "a", "times": True}, "times: "),
        ({"word": "a", "times": 1.5}, "times: "),
        ({"word": "a", "extra": 1}, "extra"),
        ({"word": "a" * 70_000}, "bytes"),
        ({"word": {1, 2}}, "not JSON"),
        ({"word": "\ud800"}, "not JSON"),
    ],
)
def test_parameters_are_checked_before_the_call(parameters: dict[str, Any], named: str) -> None:
    async def never(parameters: Any) -> None:
        pytest.fail("the tool ran")

    host = host_with(Tool("repeat", "d", repeat.parameters, never))
    with pytest.raises(BadArguments, match=named):
        asyncio.run(host.execute("repeat", parameters))
    assert host.list()[0].health == "ok"  # the caller's fault, not the tool's


def test_values_are_not_quoted_in_errors() -> None:
    with pytest.raises(BadArguments) as caught:
        asyncio.run(host_with(repeat).execute("repeat", {"word": ["my secret"]}))
    assert "secret" not in str(caught.value)


async def _raises() -> None:
    raise RuntimeError("holds my secret")


async def _exits() -> None:
    sys.exit(3)


async def _cancels_itself() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("run", [_raises, _exits, _cancels_itself])
def test_a_tool_that_breaks_is_that_tools_error(run: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        host = host_with(broken(run), repeat)
        for _ in range(FAILING_AFTER):
            assert host.list()[0].health == "ok"
            with pytest.raises(ToolFailed) as caught:
                await host.execute("broken", {})
            assert "secret" not in str(caught.value)
        assert [info.health for info in host.list()] == ["failing", "ok"]
        assert await host.execute("repeat", {"word": "still"}) == "still still"

    asyncio.run(main())


def test_a_tools_own_message_reaches_the_caller_and_success_heals() -> None:
    async def main() -> None:
        answers = iter([ToolError("the drawer is stuck")] * FAILING_AFTER)

        async def sometimes() -> str:
            for error in answers:
                raise error
            return "open"

        host = host_with(broken(sometimes))
        for _ in range(FAILING_AFTER):
            with pytest.raises(ToolFailed, match="the drawer is stuck"):
                await host.execute("broken", {})
        assert host.list()[0].health == "failing"
        assert await host.execute("broken", {}) == "open"
        assert host.list()[0].health == "ok"

    asyncio.run(main())


def test_a_tool_that_hangs_and_ignores_its_cancellation_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.host.MAX_RUNNING", 3)

    async def main() -> None:
        released = asyncio.Event()
        calls: set[asyncio.Task[Any]] = set()

        async def stubborn() -> None:
            current = asyncio.current_task()
            assert current is not None
            calls.add(current)
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue

        host = host_with(broken(stubborn), timeout_s=0.01)
        for _ in range(3):
            with pytest.raises(ToolTimeout):
                await host.execute("broken", {})
        with pytest.raises(HostBusy):
            await host.execute("broken", {})
        released.set()
        await asyncio.wait(calls)
        released.clear()
        with pytest.raises(ToolTimeout):  # there is room again
            await host.execute("broken", {})
        released.set()

    asyncio.run(main())


def test_cancelling_the_caller_cancels_the_tool() -> None:
    async def main() -> None:
        started, ended = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        caller = asyncio.create_task(host_with(broken(slow)).execute("broken", {}))
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(main())


@pytest.mark.parametrize("result", [object(), "x" * 70_000, {1: 2}, float("inf").hex, 2**70])
def test_results_are_json_of_bounded_size(result: Any) -> None:
    async def give() -> Any:
        return result

    with pytest.raises(ToolOutputUnusable):
        asyncio.run(host_with(broken(give)).execute("broken", {}))


def test_names_are_unique_and_a_plugin_comes_whole_or_not_at_all() -> None:
    host = host_with(repeat)
    other = broken(_raises, "other")
    with pytest.raises(ToolExists):
        host.register(of(other, repeat, name="second"))
    assert [info.name for info in host.list()] == ["repeat"]
    assert host.unregister("example")
    assert not host.unregister("example")
    host.register(of(other, repeat, name="second"))
    assert [info.name for info in host.list()] == ["other", "repeat"]


@pytest.mark.parametrize(
    "plugin",
    [
        of(repeat, name="../etc"),
        of(repeat, version=""),
        of(repeat, skills=HERE.with_name("missing.md")),
        of(Tool("a b", "d", {"type": "object"}, repeat.run)),
        of(Tool("t", "d", {"type": "string"}, repeat.run)),
        of(Tool("t", "d", {"type": "object", "properties": {"a": {"type": "nonsense"}}}, repeat.run)),
        of(Tool("t", "d", {"type": "object", "$ref": "http://127.0.0.1:9/schema"}, repeat.run)),
    ],
)
def test_what_cannot_be_registered_is_refused(plugin: Plugin) -> None:
    host = PluginHost()
    with pytest.raises(BadPlugin):
        host.register(plugin)
    assert host.list() == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.text(max_size=20) | st.just("repeat"), parameters=st.dictionaries(st.text(), _JSON, max_size=3))
def test_any_call_gives_a_result_or_one_of_our_errors(name: str, parameters: dict[str, Any]) -> None:
    with contextlib.suppress(ToolNotFound, BadArguments):
        assert isinstance(asyncio.run(host_with(repeat).execute(name, parameters)), str)
