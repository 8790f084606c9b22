"""What the public listener serves: a list with its bits, our context, our schemas, and nothing else."""

import asyncio
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from identity.credentials.contexts import PAGI_V1, known_contexts
from node.credentials.public import public_routes
from tests.node.credentials.test_service import CLAIMS, KIND, party
from tests.node.parts import new_did


def test_everything_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with party(tmp_path, public_url="https://ada.example") as ada:
            vc = await ada.credentials.issue(KIND, new_did(), CLAIMS)
            app = web.Application()
            for method, path, handler in public_routes(ada.credentials.status_lists):
                app.router.add_route(method, path, handler)
            async with TestServer(app) as server, aiohttp.ClientSession() as session:

                async def get(path: str) -> tuple[int, str, bytes]:
                    async with session.get(server.make_url(path)) as response:
                        return response.status, response.content_type, await response.read()

                status, kind, body = await get("/credentials/status/1")
                assert (status, kind) == (200, "application/vc")
                assert orjson.loads(body)["id"] == vc["credentialStatus"]["statusListCredential"]
                status, kind, body = await get("/ns/credentials/v1")
                assert (status, kind, orjson.loads(body)) == (200, "application/ld+json", known_contexts()[PAGI_V1])
                status, kind, body = await get("/schemas/reputation-v1.json")
                assert (status, kind) == (200, "application/schema+json")
                assert orjson.loads(body)["$id"] == vc["credentialSchema"]["id"]
                for path in ("2", "0", "x", "-1", "1" * 30, "%D9%A1"):
                    assert (await get(f"/credentials/status/{path}"))[0] == 404
                assert (await get("/schemas/..%2Ferrors.py"))[0] == 404

    asyncio.run(main())
