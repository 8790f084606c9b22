"""The resolver: what is at hand, what is fetched, how often, and what failures and cancelled callers leave behind."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest

from identity import resolver as module
from identity.did import Did, did_key, resolve_did_key
from identity.did_peer import make_did_peer_2, make_did_peer_4, resolve_short, short_form
from identity.errors import MalformedDid, NotResolvedYet, PagiError, UnknownDidMethod, UnresolvableDid
from identity.keys import KeyPair, agreement_key_of
from identity.resolver import MAX_CACHED, MAX_FETCHES, NEGATIVE_TTL_S, TTL_S, Resolver

KEYS = KeyPair(bytes(range(32)))
WEB = Did("did:web:example.org")
URL = "https://example.org/.well-known/did.json"
PEER_4 = json.loads((Path(__file__).parent / "vectors" / "did_peer.json").read_text())["peer_4"]
PATIENCE_S = 20.0


class Unreachable(PagiError):
    """What a fetch raises."""


class Web:
    """Documents by URL. A closed gate holds fetches up; `asked` has each URL as often as it was fetched."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.asked: list[str] = []
        self.pages: dict[str, bytes] = {URL: orjson.dumps({"id": WEB})}
        self.begun = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.resolver = Resolver(fetch=self.fetch, now_s=lambda: self.now_s)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        self.begun.release()
        await self.gate.wait()
        if url not in self.pages:
            raise Unreachable("nobody is there")
        return self.pages[url]


def with_web(test: Callable[[Web], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test(Web())

    asyncio.run(run())


async def held_up(web: Web, more: int) -> None:
    """Wait until so many more fetches have begun, and let whoever else can run do so."""
    for _ in range(more):
        await web.begun.acquire()
    for _ in range(10):
        await asyncio.sleep(0)


def test_dids_that_carry_their_document_need_no_fetch() -> None:
    async def test(web: Web) -> None:
        did = did_key(KEYS.public)
        peer = make_did_peer_2(KEYS.public, agreement_key_of(KEYS.public), ())
        for one in (did, peer):
            assert web.resolver.cached(one) == await web.resolver.resolve(one)
        assert web.resolver.cached(did) == resolve_did_key(did)
        assert web.asked == []

    with_web(test)


def test_a_short_form_resolves_once_its_long_form_was_seen() -> None:
    async def test(web: Web) -> None:
        short, long_form = PEER_4["short"], PEER_4["did"]
        with pytest.raises(NotResolvedYet):
            web.resolver.cached(short)
        with pytest.raises(UnresolvableDid):
            await web.resolver.resolve(short)
        web.resolver.cached(long_form)
        assert web.resolver.cached(short) == await web.resolver.resolve(short) == resolve_short(long_form)
        with pytest.raises(MalformedDid):
            web.resolver.remember(Did(long_form[:-1] + "1"))

    with_web(test)


def test_only_so_many_long_forms_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LONG_FORMS", 2)

    async def test(web: Web) -> None:
        dids = [make_did_peer_4({"x": n}) for n in range(3)]
        for did in (dids[0], dids[1], dids[0], dids[2]):
            web.resolver.remember(did)
        web.resolver.cached(short_form(dids[0]))
        web.resolver.cached(short_form(dids[2]))
        with pytest.raises(NotResolvedYet):
            web.resolver.cached(short_form(dids[1]))

    with_web(test)


def test_did_web_is_fetched_once_and_again_when_it_is_old() -> None:
    async def test(web: Web) -> None:
        with pytest.raises(NotResolvedYet) as caught:
            web.resolver.cached(WEB)
        assert caught.value.did == WEB
        document = await web.resolver.resolve(WEB)
        assert document.did == WEB
        web.now_s += TTL_S - 1
        assert web.resolver.cached(WEB) is document
        assert await web.resolver.resolve(WEB) is document
        assert web.asked == [URL]
        web.now_s += 1
        with pytest.raises(NotResolvedYet):
            web.resolver.cached(WEB)
        await web.resolver.resolve(WEB)
        assert web.asked == [URL, URL]

    with_web(test)


def test_an_old_document_is_not_used_while_the_host_is_silent() -> None:
    async def test(web: Web) -> None:
        await web.resolver.resolve(WEB)
        web.now_s += TTL_S
        del web.pages[URL]
        with pytest.raises(UnresolvableDid):
            await web.resolver.resolve(WEB)
        with pytest.raises(UnresolvableDid):
            web.resolver.cached(WEB)

    with_web(test)


@pytest.mark.parametrize("page", [None, b"", b"<html>", b'{"id":"did:web:other.example"}', b"[" * 10_000])
def test_a_failure_is_remembered_for_a_while(page: bytes | None) -> None:
    async def test(web: Web) -> None:
        good = web.pages.pop(URL)
        if page is not None:
            web.pages[URL] = page
        for _ in range(3):
            with pytest.raises(UnresolvableDid):
                await web.resolver.resolve(WEB)
        with pytest.raises(UnresolvableDid):
            web.resolver.cached(WEB)
        assert web.asked == [URL]
        web.pages[URL] = good
        web.now_s += NEGATIVE_TTL_S
        assert (await web.resolver.resolve(WEB)).did == WEB

    with_web(test)


def test_of_many_who_ask_at_once_one_fetches() -> None:
    async def test(web: Web) -> None:
        web.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(web.resolver.resolve(WEB)) for _ in range(20)]
            await held_up(web, 1)
            assert web.asked == [URL]
            web.gate.set()
        assert len({id(task.result()) for task in asking}) == 1
        assert web.asked == [URL]

    with_web(test)


def test_when_the_one_who_fetches_is_cancelled_another_fetches() -> None:
    async def test(web: Web) -> None:
        web.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            first, second, third = [tasks.create_task(web.resolver.resolve(WEB)) for _ in range(3)]
            await held_up(web, 1)
            first.cancel()
            second.cancel()
            await held_up(web, 1)
            web.gate.set()
        assert first.cancelled()
        assert second.cancelled()
        assert third.result().did == WEB
        assert web.asked == [URL, URL]
        assert not web.resolver._flights

    with_web(test)


def test_a_cancelled_fetch_is_not_a_failure() -> None:
    async def test(web: Web) -> None:
        web.gate.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await web.resolver.resolve(WEB)
        with pytest.raises(NotResolvedYet):
            web.resolver.cached(WEB)
        web.gate.set()
        assert (await web.resolver.resolve(WEB)).did == WEB

    with_web(test)


def test_a_fault_of_ours_is_no_failure_of_theirs() -> None:
    async def broken(url: str) -> bytes:
        raise ZeroDivisionError

    async def test(web: Web) -> None:
        resolver = Resolver(fetch=broken, now_s=lambda: 0.0)
        with pytest.raises(ZeroDivisionError):
            await resolver.resolve(WEB)
        with pytest.raises(NotResolvedYet):
            resolver.cached(WEB)

    with_web(test)


def test_only_so_many_documents_are_kept_those_used_last() -> None:
    async def test(web: Web) -> None:
        await web.resolver.resolve(WEB)
        dids = [Did(f"did:web:example.org:{n}") for n in range(MAX_CACHED)]
        for did in dids:
            if did == dids[-1]:
                web.resolver.cached(WEB)  # used, so another goes
            with pytest.raises(UnresolvableDid):
                await web.resolver.resolve(did)
        web.resolver.cached(WEB)
        with pytest.raises(NotResolvedYet):
            web.resolver.cached(dids[0])

    with_web(test)


def test_only_so_many_fetches_run_at_once() -> None:
    async def test(web: Web) -> None:
        web.gate.clear()
        web.pages = {}
        waiting: list[Awaitable[Any]] = [
            asyncio.ensure_future(web.resolver.resolve(Did(f"did:web:example.org:{n}"))) for n in range(MAX_FETCHES)
        ]
        await held_up(web, MAX_FETCHES)
        with pytest.raises(UnresolvableDid):
            await web.resolver.resolve(WEB)
        web.gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {UnresolvableDid}
        web.pages = {URL: orjson.dumps({"id": WEB})}
        assert (await web.resolver.resolve(WEB)).did == WEB  # being busy is not remembered

    with_web(test)


def test_what_is_not_resolved_at_all() -> None:
    async def test(web: Web) -> None:
        for did, error in (
            ("did:example:alice", UnknownDidMethod),
            ("did:webs:example.org", UnknownDidMethod),
            ("did:peer:0z6Mk", UnknownDidMethod),
            ("not a did", UnknownDidMethod),
            ("did:web:10.0.0.1", MalformedDid),
            ("did:key:b6Mk", MalformedDid),
        ):
            with pytest.raises(error):
                web.resolver.cached(Did(did))
            with pytest.raises(error):
                await web.resolver.resolve(Did(did))
        offline = Resolver(fetch=None, now_s=lambda: 0.0)
        with pytest.raises(UnresolvableDid):
            await offline.resolve(WEB)
        assert web.asked == []

    with_web(test)
