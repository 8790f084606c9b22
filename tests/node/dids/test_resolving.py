"""did:web over the real HTTP client: a document that a server on this machine publishes."""

import asyncio

import pytest
from aiohttp import web

from identity.did import Did, resolve_did_key
from identity.documents import MAX_DOCUMENT_BYTES
from identity.errors import UnresolvableDid
from node.dids.resolving import make_resolver
from node.http.outside import Outside

SUBJECT = resolve_did_key(Did("did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"))


def with_documents(*, allow_private: bool, padding: int = 0, expected: type[Exception] | None = None) -> str:
    """Resolve `did:web:localhost%3A<port>:bela`; gives what was accepted by the client, or the error's text."""

    async def run() -> str:
        asked: list[str] = []

        async def document(request: web.Request) -> web.Response:
            asked.append(request.headers["Accept"])
            own = f"did:web:localhost%3A{port}:bela"
            (key,) = SUBJECT.authentication
            method = {"id": "#1", "type": "Multikey", "controller": own, "publicKeyMultibase": key.id.partition("#")[2]}
            return web.json_response({"id": own, "authentication": [method], "padding": "x" * padding})

        app = web.Application()
        app.router.add_get("/bela/did.json", document)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        outside = Outside(allow_private=allow_private)
        try:
            resolver = make_resolver(outside)
            did = Did(f"did:web:localhost%3A{port}:bela")
            if expected is not None:
                with pytest.raises(expected) as caught:
                    await resolver.resolve(did)
                return str(caught.value)
            found = await resolver.resolve(did)
            assert resolver.cached(did) is found
            assert found.authentication[0].public == SUBJECT.authentication[0].public
            return asked[0]
        finally:
            await outside.close()
            await runner.cleanup()

    return asyncio.run(run())


def test_a_document_of_this_machine() -> None:
    assert with_documents(allow_private=True).startswith("application/did+json")


def test_this_machine_is_not_asked_unless_the_owner_allows_it() -> None:
    assert "not connected to" in with_documents(allow_private=False, expected=UnresolvableDid)


def test_a_document_that_is_too_large() -> None:
    cause = with_documents(allow_private=True, padding=MAX_DOCUMENT_BYTES, expected=UnresolvableDid)
    assert "more than" in cause
