"""Attempts at recipients whose documents name HTTP hosts: real sockets, real DIDs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from identity.did import DIDCOMM_SERVICE, Did, Endpoint, Service, did_key, resolve_did_key
from identity.did_peer import make_did_peer_2
from identity.keys import KeyPair
from identity.resolver import Resolver
from node.http.listening import listen
from node.messaging.packing import Outgoing
from protocols import limits
from protocols.conversations.routing import read_forward
from protocols.didcomm.author import AgreementKey
from protocols.didcomm.envelope import unpack
from protocols.message import Message
from storage import contacts, outbox
from storage.outbox import OutboxRow
from tests.node.messaging.test_delivery import HELLO
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_keys, open_node, running, soon


@dataclass
class Host:
    """An HTTP host of agents: it answers by a script, then with 202."""

    url: str = ""
    script: list[int] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    asked: int = 0

    async def accept(self, request: web.Request) -> web.Response:
        self.asked += 1
        status = self.script.pop(0) if self.script else 202
        if status == 202:
            self.taken.append(await request.read())
        return web.Response(status=status)


@contextlib.asynccontextmanager
async def hosting(*script: int) -> AsyncIterator[Host]:
    host = Host(script=list(script))
    app = web.Application(client_max_size=limits.MAX_DIDCOMM_BYTES)
    app.router.add_post("/in", host.accept)
    async with listen(app, "127.0.0.1", 0) as url:
        host.url = f"{url}/in"
        yield host


def agent(keys: KeyPair, *endpoints: Endpoint) -> Did:
    """A did:peer:2 of these keys that takes messages at these places."""
    agreement = resolve_did_key(did_key(keys.public)).key_agreement[0].public
    return make_did_peer_2(keys.public, agreement, (Service("#didcomm", DIDCOMM_SERVICE, endpoints),))


resolve = Resolver(fetch=None, now_s=lambda: 0.0).cached


def opened(packed: bytes, did: Did, keys: KeyPair) -> Message:
    """What the agent reads."""
    key = AgreementKey(f"{did}#key-2", keys.agreement_secret)
    return unpack(packed, keys=[key], resolve=resolve).message


@contextlib.asynccontextmanager
async def sending(path: Path) -> AsyncIterator[Mail]:
    async with open_node(FakeSwarm(), path) as node:
        mail = Mail(node)
        try:
            async with running(mail.delivery.run()):
                await soon(mail.delivery.idle())
                yield mail
        finally:
            await mail.outside.close()


async def send(mail: Mail, to: Did, **more: Any) -> str:
    return (await mail.office.send(to, HELLO, {}, **more)).id


async def row_of(node: Node, message_id: str) -> OutboxRow:
    row = await node.database.read(lambda conn: outbox.get_outbound(conn, message_id))
    assert row is not None
    return row


def test_an_agent_with_a_url_in_its_did_gets_its_mail_by_http(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting() as host, sending(tmp_path) as mail:
            keys = new_keys()
            did = agent(keys, Endpoint(host.url))
            message_id = await send(mail, did)
            assert await mail.delivery.wait_settled(message_id, 20) == "delivered"
            row = await row_of(mail.node, message_id)
            assert row.via == host.url.removesuffix("/in")
            [packed] = host.taken
            message = opened(packed, did, keys)
            assert (message.id, message.please_ack) == (message_id, ())
            assert message.from_ is not None
            assert mail.node.own.is_ours(message.from_)

    asyncio.run(main())


def test_an_agent_behind_a_mediator_gets_it_wrapped_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting() as host, sending(tmp_path) as mail:
            keys, mediators = new_keys(), new_keys()
            mediator = agent(mediators, Endpoint(host.url))
            did = agent(keys, Endpoint(mediator))
            message_id = await send(mail, did)
            assert await mail.delivery.wait_settled(message_id, 20) == "delivered"  # it is no twin: more is not known
            assert (await row_of(mail.node, message_id)).via == f"mediator {mediator} ({host.url.removesuffix('/in')})"
            next_did, packed = read_forward(opened(host.taken[0], mediator, mediators))
            assert next_did == did
            assert opened(packed, did, keys).id == message_id

    asyncio.run(main())


def test_a_twin_that_was_introduced_with_a_socket_is_asked_to_confirm(tmp_path: Path) -> None:
    async def main() -> None:
        frames: asyncio.Queue[str] = asyncio.Queue()

        async def accept(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for frame in socket:
                frames.put_nowait(frame.data)
            return socket

        app = web.Application()
        app.router.add_get("/ws", accept)
        async with listen(app, "127.0.0.1", 0) as url, sending(tmp_path) as mail:
            keys = new_keys()
            did = did_key(keys.public)
            told = f'[{{"uri": "{url.replace("http", "ws")}/ws"}}]'
            await mail.node.database.write(
                lambda conn: contacts.put_contact(
                    conn, did, services=told, name=None, source="introduction", updated_ms=1
                )
            )
            message_id = await send(mail, did)
            assert await mail.delivery.wait_settled(message_id, 20) == "sent"
            message = unpack((await soon(frames.get())).encode(), keys=[keys]).message
            assert (message.id, message.please_ack) == (message_id, ("",))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("form", "signed", "proven"),
    [("authcrypt", False, True), ("authcrypt-signed", True, True), ("anoncrypt-signed", True, True)],
)
def test_a_message_goes_in_the_form_that_it_was_queued_in(
    tmp_path: Path, form: Any, signed: bool, proven: bool
) -> None:
    async def main() -> None:
        async with hosting() as host, sending(tmp_path) as mail:
            keys = new_keys()
            did = agent(keys, Endpoint(host.url))
            message_id = await send(mail, did, form=form)
            assert await mail.delivery.wait_settled(message_id, 20) == "delivered"
            key = AgreementKey(f"{did}#key-2", keys.agreement_secret)
            unpacked = unpack(host.taken[0], keys=[key], resolve=resolve)
            ours = unpacked.author is not None and mail.node.own.is_ours(unpacked.author)
            assert (unpacked.signer is not None, ours) == (signed, proven)
            assert (unpacked.sender is None) == (form == "anoncrypt-signed")

    asyncio.run(main())


def test_a_second_place_is_tried_and_a_dead_one_rests(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(503, 503) as broken, hosting() as host, sending(tmp_path) as mail:
            did = agent(new_keys(), Endpoint("http://127.0.0.1:9/in"), Endpoint(broken.url), Endpoint(host.url))
            for _ in range(3):
                assert await mail.delivery.wait_settled(await send(mail, did), 20) == "delivered"
            assert (broken.asked, len(broken.taken)) == (3, 1)  # it answers, so it is asked each time
            assert len(host.taken) == 2
            assert mail.dispatcher._circuits.rests("http://127.0.0.1:9")

    asyncio.run(main())


def test_every_ways_error_is_shown_and_no_path_of_a_url(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(503) as host, sending(tmp_path) as mail:
            did = agent(new_keys(), Endpoint("http://127.0.0.1:9/secret"), Endpoint(host.url))
            message_id = await send(mail, did)
            await soon(mail.delivery.idle())
            row = await row_of(mail.node, message_id)
            error = row.last_error or ""
            assert (row.status, row.attempts) == ("queued", 1)
            assert "http://127.0.0.1:9: " in error
            assert f"{host.url.removesuffix('/in')}: it is not taken there now" in error
            assert "secret" not in error
            assert "/in" not in error
            mail.node.clock.advance(60)
            mail.delivery.wake()
            assert await mail.delivery.wait_settled(message_id, 20) == "delivered"

    asyncio.run(main())


def test_a_host_that_refuses_is_believed_when_there_is_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(404) as host, sending(tmp_path) as mail:
            message_id = await send(mail, agent(new_keys(), Endpoint(host.url)))
            assert await mail.delivery.wait_settled(message_id, 20) == "failed"
            assert "refused" in ((await row_of(mail.node, message_id)).last_error or "")

    asyncio.run(main())


def test_a_dead_host_delays_nobody_else(tmp_path: Path) -> None:
    async def main() -> None:
        hung, go_on = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> web.Response:
            hung.set()
            await go_on.wait()
            return web.Response()

        app = web.Application()
        app.router.add_post("/in", hang)
        async with listen(app, "127.0.0.1", 0) as url, hosting() as host, sending(tmp_path) as mail:
            await send(mail, agent(new_keys(), Endpoint(f"{url}/in")))
            await soon(hung.wait())
            message_id = await send(mail, agent(new_keys(), Endpoint(host.url)))
            assert await mail.delivery.wait_settled(message_id, 20) == "delivered"
            go_on.set()

    asyncio.run(main())


def test_a_document_cannot_aim_us_at_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRANGER_POSTS_BURST", 3)

    async def main() -> None:
        async with hosting() as victim, sending(tmp_path) as mail:
            ids = [await send(mail, agent(new_keys(), Endpoint(victim.url))) for _ in range(6)]
            await soon(mail.delivery.idle())
            assert victim.asked == 3
            rows = [await row_of(mail.node, message_id) for message_id in ids]
            assert sum("nobody named" in (row.last_error or "") for row in rows) == 3
            named = agent(new_keys(), Endpoint(victim.url))
            current = mail.node.trust.current
            await mail.node.trust.put(type(current)(**{**_fields(current), "allow": frozenset({named})}))
            assert await mail.delivery.wait_settled(await send(mail, named), 20) == "delivered"

    asyncio.run(main())


def _fields(trust: Any) -> dict[str, Any]:
    return {name: getattr(trust, name) for name in trust.__dataclass_fields__}


def test_whose_document_cannot_be_had_waits_and_whose_is_wrong_fails(tmp_path: Path) -> None:
    async def main() -> None:
        async with sending(tmp_path) as mail:
            message = Message(id="1", type=HELLO, from_=mail.node.did)
            later = await mail.dispatcher.bring(Did("did:web:agent.example"), [Outgoing(message)])
            assert (later.outcomes, later.reached) == ({}, False)
            assert "did:web" in later.reason
            never = await mail.dispatcher.bring(Did("did:unknown:1"), [Outgoing(message)])
            assert [outcome.fate for outcome in never.outcomes.values()] == ["failed"]

    asyncio.run(main())


def test_what_is_too_long_to_be_forwarded_waits_for_a_straight_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting() as host, sending(tmp_path) as mail:
            did = agent(new_keys(), Endpoint(agent(new_keys(), Endpoint(host.url))))
            long = (await mail.office.send(did, HELLO, {"text": "x" * limits.MAX_FORWARDED_BYTES})).id
            short = await send(mail, did)
            assert await mail.delivery.wait_settled(short, 20) == "delivered"
            row = await row_of(mail.node, long)
            assert (row.status, row.attempts) == ("queued", 1)
            assert str(limits.MAX_FORWARDED_BYTES) in (row.last_error or "")
            assert host.asked == 1

    asyncio.run(main())


def test_nobody_is_asked_for_more_than_is_under_way_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        under_way: list[int] = []
        running_now = 0

        async def slow(request: web.Request) -> web.Response:
            nonlocal running_now
            running_now += 1
            under_way.append(running_now)
            await request.read()
            await asyncio.sleep(0)
            running_now -= 1
            return web.Response(status=202)

        app = web.Application()
        app.router.add_post("/in", slow)
        async with listen(app, "127.0.0.1", 0) as url, sending(tmp_path) as mail:
            did = agent(new_keys(), Endpoint(f"{url}/in"))
            ids: Sequence[str] = [await send(mail, did) for _ in range(20)]
            assert {await mail.delivery.wait_settled(message_id, 20) for message_id in ids} == {"delivered"}
        assert max(under_way) <= 4

    asyncio.run(main())
