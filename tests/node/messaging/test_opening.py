"""Senders whose documents have to be fetched first."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from identity.did import Did, DidDocument, VerificationMethod, resolve_did_key
from identity.errors import IdentityError
from identity.keys import KeyPair, agreement_key_of
from identity.resolver import Resolver
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER, Source
from node.net.errors import RemoteUnavailable
from protocols import limits
from protocols.didcomm.author import AgreementKey, Author
from protocols.didcomm.envelope import pack_authcrypt
from protocols.message import Message
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_keys, open_node, soon

HTTP = Source("http", "192.0.2.1")
WEB = Did("did:web:agent.example")


class Web:
    """The hosts of did:web documents. `gate` holds the fetches back, `down` makes them fail."""

    def __init__(self) -> None:
        self.keys = new_keys()
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False
        self.broken = False

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        if self.down:
            raise RemoteUnavailable("no such host")
        host = url.split("/")[2]
        return b"{" if self.broken else orjson.dumps(document(Did(f"did:web:{host}"), self.keys).to_json())


def document(did: Did, keys: KeyPair) -> DidDocument:
    signing = VerificationMethod(f"{did}#key-1", "Ed25519", keys.public)
    agreement = VerificationMethod(f"{did}#key-2", "X25519", agreement_key_of(keys.public))
    return DidDocument(did, (signing,), (agreement,), (signing,))


def packed(node: Node, keys: KeyPair, did: Did = WEB) -> bytes:
    author = Author(did, (AgreementKey(f"{did}#key-2", keys.agreement_secret),), f"{did}#key-1", keys.sign)
    message = Message(
        id=os.urandom(8).hex(),
        type="https://test.example/1.0/hello",
        from_=did,
        to=(node.did,),
        created_time=node.clock() // 1000,
    )
    return pack_authcrypt(message, sender=author, recipients=[resolve_did_key(node.did)], entropy=os.urandom)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Mail, Web]]:
    web = Web()
    async with open_node(FakeSwarm(), path) as node:
        node.resolver = Resolver(fetch=web.fetch, now_s=lambda: node.clock() / 1000)
        yield Mail(node), web


def test_a_senders_document_is_fetched_once_and_the_message_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (mail, web):
            answers = [await mail.intake.accept(HTTP, packed(mail.node, web.keys)) for _ in range(3)]
            assert answers == [ACCEPTED] * 3
            assert web.asked == ["https://agent.example/.well-known/did.json"]
            assert {row.from_did for row in (await mail.office.inbox(9)).items} == {WEB}
            assert await mail.intake.accept(HTTP, packed(mail.node, new_keys())) == REFUSED  # in its name, not its keys

    asyncio.run(main())


def test_what_cannot_be_fetched_now_is_taken_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (mail, web):
            web.down, message = True, packed(mail.node, web.keys)
            assert await mail.intake.accept(HTTP, message) == TRY_LATER
            web.down = False
            assert await mail.intake.accept(HTTP, message) == TRY_LATER  # the failure is remembered for a while
            assert len(web.asked) == 1
            mail.node.clock.advance(120)
            assert await mail.intake.accept(HTTP, message) == ACCEPTED

    asyncio.run(main())


def test_at_a_mediator_nothing_waits_for_a_host_that_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (mail, web):
            web.down = True
            mediator = Source("mediator", "did:key:zMediator")
            assert await mail.intake.accept(mediator, packed(mail.node, web.keys)) == REFUSED

    asyncio.run(main())


def test_a_host_that_is_silent_holds_a_message_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SENDER_RESOLVE_TIMEOUT_S", 0.01)

    async def main() -> None:
        async with opened(tmp_path) as (mail, web):
            web.gate.clear()
            assert await mail.intake.accept(HTTP, packed(mail.node, web.keys)) == TRY_LATER

    asyncio.run(main())


def test_one_source_makes_us_fetch_only_so_much(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (mail, web):

            async def send(source: Source, n: int) -> bytes:
                return await mail.intake.accept(source, packed(mail.node, web.keys, Did(f"did:web:host{n}.example")))

            burst = limits.SENDER_RESOLVE_BURST
            answers = [await send(HTTP, n) for n in range(burst + 3)]
            assert answers == [ACCEPTED] * burst + [TRY_LATER] * 3
            assert len(web.asked) == burst
            assert await send(HTTP, 0) == ACCEPTED  # what is known costs no fetch
            assert await send(Source("http", "192.0.2.2"), burst) == ACCEPTED

    asyncio.run(main())


def test_only_so_many_documents_are_fetched_at_one_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (mail, web):

            async def send(n: int) -> bytes:
                source = Source("http", f"192.0.2.{n}")
                return await mail.intake.accept(source, packed(mail.node, web.keys, Did(f"did:web:host{n}.example")))

            web.gate.clear()
            most = limits.MAX_DIDS_RESOLVED_AT_ONCE
            waiting = [asyncio.create_task(send(n)) for n in range(most)]
            while len(web.asked) < most:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert await send(most) == TRY_LATER
            web.gate.set()
            assert await soon(_all(waiting)) == [ACCEPTED] * most

    asyncio.run(main())


async def _all(tasks: list[asyncio.Task[bytes]]) -> list[bytes]:
    return list(await asyncio.gather(*tasks))


@pytest.mark.parametrize(
    "did", ["did:web:agent.example", "did:unknown:1", "did:peer:4zQmd8CpeFPci817KDsbSAKWcXAE2mjvCQSasRewvbSF54Bd"]
)
def test_a_document_that_is_none_and_a_did_that_nobody_can_resolve_are_not_taken(tmp_path: Path, did: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (mail, web):
            web.broken = True
            answer: Any = await mail.intake.accept(HTTP, packed(mail.node, web.keys, Did(did)))
            assert answer in (REFUSED, TRY_LATER)
            assert (await mail.office.inbox(9)).items == ()
            with pytest.raises(IdentityError):
                mail.node.resolver.cached(Did(did))

    asyncio.run(main())
