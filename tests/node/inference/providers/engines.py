"""Engines over a provider on this machine, and gateways over engines, for tests."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from node.http.outside import Outside
from node.inference.engine import Engine
from node.inference.gateway import Gateway
from node.inference.local import LocalModel
from node.inference.providers.anthropic import AnthropicDialect
from node.inference.providers.openai import OpenAiDialect
from node.inference.providers.provider import Provider
from node.inference.providers.remote import Dialect, Place, RemoteEngine, Times
from tests.node.inference.providers.provider_server import KEY, MODEL, ProviderServer

TIMES = Times(first_piece_s=20, stall_s=20, answer_s=60)


@asynccontextmanager
async def open_openai(
    server: ProviderServer, *, context_tokens: int = 4096, times: Times = TIMES, key: str = KEY
) -> AsyncIterator[RemoteEngine]:
    opened = open_remote(
        OpenAiDialect(), f"{server.url}/v1", model=MODEL, key=key, context_tokens=context_tokens, times=times
    )
    async with opened as engine:
        yield engine


@asynccontextmanager
async def open_anthropic(
    server: ProviderServer, *, context_tokens: int = 4096, times: Times = TIMES, key: str = KEY
) -> AsyncIterator[RemoteEngine]:
    opened = open_remote(
        AnthropicDialect(), server.url, model=MODEL, key=key, context_tokens=context_tokens, times=times
    )
    async with opened as engine:
        yield engine


@asynccontextmanager
async def open_remote(
    dialect: Dialect, base_url: str, *, model: str, key: str, context_tokens: int, times: Times = TIMES
) -> AsyncIterator[RemoteEngine]:
    outside = Outside(allow_private=True)
    place = Place(name="test", base_url=base_url, model=model, key=key, capable=True, context_tokens=context_tokens)
    engine = RemoteEngine(place, dialect, outside=outside, times=times)
    try:
        yield engine
    finally:
        await engine.aclose()
        await outside.close()


def provider(name: str, engine: Engine, *, sees_private: bool = True, **members: Any) -> Provider:
    """A provider that is up."""
    return Provider(
        name=name, kind="openai", engine=lambda: engine, reason=lambda: None, sees_private=sees_private, **members
    )


def local_model(engine: Engine | None = None) -> LocalModel:
    """The local model, loaded or absent."""
    local = LocalModel(None if engine is not None else "no model was chosen")
    if engine is not None:
        local.settle(engine, None)
    return local


@asynccontextmanager
async def open_gateway(engine: Engine) -> AsyncIterator["ClosingGateway"]:
    """A gateway over one remote engine, which closes with it."""
    yield ClosingGateway(engine, lambda: [provider("test", engine)])


class ClosingGateway(Gateway):
    """A gateway whose only engine is its own."""

    def __init__(self, engine: Engine, remotes: Callable[[], Sequence[Provider]]) -> None:
        super().__init__(local_model(), remotes=remotes)
        self._only = engine

    async def aclose(self) -> None:
        await self._only.aclose()
