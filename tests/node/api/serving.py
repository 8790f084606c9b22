"""A real server on 127.0.0.1 over the fake twin, and a client of it, for one test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from fake_twin import TOKEN, FakeTwin

from node.api.app import make_app, serve

AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Client:
    """Requests with the token, whose answers are whole."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[int, Any, dict[str, str]]:
        headers = {**AUTH, **options.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            is_json = "json" in response.headers.get("Content-Type", "")
            document = await response.json(content_type=None) if is_json else await response.read()
            return response.status, document, dict(response.headers)


def with_server(test: Callable[[Client, FakeTwin], Awaitable[None]], **options: Any) -> None:
    """Run `test` against a server of its own."""

    async def main() -> None:
        twin = FakeTwin()
        async with serve(make_app(twin, TOKEN, **options), "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
            await test(Client(session, url), twin)

    asyncio.run(main())
