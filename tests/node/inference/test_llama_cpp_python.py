"""The second engine, apart from what every engine keeps to: text from tokens, and a machine that has it not."""

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.engine import ChatRequest, ChatTurn, ToolSpec
from node.inference.errors import EngineMissing, ModelUnloadable
from node.inference.llama_cpp_python import _Text, open_engine
from tests.node.inference.gguf_files import gguf


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    async def main() -> None:
        with pytest.raises(EngineMissing) as caught:
            async with open_engine(tmp_path / "any.gguf"):
                pass
        assert "pip install" in caught.value.hint

    asyncio.run(main())


@given(st.text("ab é", max_size=30), st.integers(1, 4), st.lists(st.text("ab é", min_size=1, max_size=3), max_size=3))
def test_text_ends_before_the_first_stop_text(text: str, size: int, stops: list[str]) -> None:
    data = text.encode()
    reader = _Text(stops)
    shown = ""
    for at in range(0, len(data), size):
        shown += reader.feed(data[at : at + size])
        if reader.stopped:
            break
    else:
        shown += reader.end()
    first = min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))
    # A longer stop text that begins earlier may only be whole when a shorter one has ended the text already.
    assert text.startswith(shown)
    assert len(shown) >= first
    assert not [stop for stop in stops if stop in shown]


@pytest.mark.model
@pytest.mark.slow
def test_the_last_chat_is_remembered_and_a_tool_is_called(bundled_model: Path) -> None:
    pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")
    look = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
    chat = [ChatTurn("user", "My name is Ana and I like boats. " * 20)]

    async def main() -> None:
        async with open_engine(bundled_model, context_tokens=1024) as engine:
            first = await engine.complete(ChatRequest(turns=chat, max_tokens=6))
            assert first.cached_tokens <= 3
            turns = [*chat, ChatTurn("assistant", first.text), ChatTurn("user", "Go on.")]
            second = await engine.complete(ChatRequest(turns=turns, max_tokens=6))
            assert second.cached_tokens > first.prompt_tokens - 5
            answer = await engine.complete(ChatRequest(turns=chat, max_tokens=99, tools=[look], tool_choice="required"))
            assert [call.name for call in answer.tool_calls] == ["look"]

    asyncio.run(main())


@pytest.mark.slow
def test_a_file_that_it_cannot_load_is_named(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")
    (tmp_path / "empty.gguf").write_bytes(gguf())

    async def main() -> None:
        with pytest.raises(ModelUnloadable, match=r"empty\.gguf"):
            async with open_engine(tmp_path / "empty.gguf"):
                pass

    asyncio.run(main())
