"""The mediator behind its public listener: agents that have nothing but HTTP, and clients that have nothing but a
WebSocket."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bootstrap.relay import Mediation, open_relay
from identity.did import Did, did_key, resolve_did_key
from identity.did_peer import resolve_did_peer
from identity.keys import KeyPair
from node.http.listening import listen
from node.http.public import make_public_app
from protocols.conversations import mediation, pickup, problem_report
from protocols.conversations.routing import wrap
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import ENCRYPTED, pack_private, unpack
from protocols.message import Message
from storage.home import Home
from tests.bootstrap.clients import Relay, contents, ids, open_relay_on, sealed
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, new_keys

HEADERS = {"Content-Type": ENCRYPTED}


class Agent:
    """Somebody with a key pair and an HTTP client."""

    def __init__(self, relay: Relay, url: str, session: aiohttp.ClientSession) -> None:
        self.relay = relay
        self.url = f"{url}/didcomm"
        self.session = session
        self.keys: KeyPair = new_keys()
        self.did = did_key(self.keys.public)

    def packed(self, message_type: str, body: dict[str, Any] | None = None) -> bytes:
        message = Message(
            id=os.urandom(8).hex(),
            type=message_type,
            body=body or {},
            from_=self.did,
            to=(self.relay.did,),
            created_time=START_MS // 1000,
            return_route="all",
        )
        return pack_private(message, author=author_of(self.keys), recipient=self.relay.document, entropy=os.urandom)

    def opened(self, packed: bytes | str) -> Message:
        data = packed.encode() if isinstance(packed, str) else packed
        return unpack(data, keys=[self.keys]).message

    async def post(self, packed: bytes) -> tuple[int, bytes]:
        async with self.session.post(self.url, data=packed, headers=HEADERS) as response:
            return response.status, await response.read()

    async def ask(self, message_type: str, body: dict[str, Any] | None = None) -> Message:
        status, answer = await self.post(self.packed(message_type, body))
        assert status == 200
        return self.opened(answer)

    async def register(self) -> None:
        assert (await self.ask(mediation.REQUEST["3.0"])).type == mediation.GRANT["3.0"]
        change = {"recipient_did": self.did, "action": "add"}
        answer = await self.ask(mediation.UPDATE["3.0"], {"updates": [change]})
        assert answer.body["updated"][0]["result"] == "success"


@asynccontextmanager
async def open_agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with (
        open_relay_on(FakeSwarm(), tmp_path) as relay,
        listen(make_public_app(relay.mediator), "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Agent(relay, url, session)


def test_all_of_it_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_agent(tmp_path) as agent:
            await agent.register()
            mail = sealed()
            assert (await agent.post(agent.relay.wrapped(mail, agent.did)))[0] == 202
            assert (await agent.post(agent.relay.wrapped(mail, did_key(new_keys().public))))[0] == 400
            status = await agent.ask(pickup.STATUS_REQUEST["4.0"])
            assert status.body["message_count"] == 1
            delivery = await agent.ask(pickup.DELIVERY_REQUEST["4.0"], {"message_count_limit": 5})
            assert contents(delivery) == [mail]
            received = await agent.ask(pickup.MESSAGES_RECEIVED["3.0"], {"message_id_list": ids(delivery)})
            assert received.body["message_count"] == 0
            # A response is complete with one message, so nothing can be pushed over it.
            live = await agent.ask(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True})
            assert live.body["code"] == problem_report.LIVE_MODE_NOT_SUPPORTED

    asyncio.run(main())


def test_live_over_a_websocket(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_agent(tmp_path) as agent:
            await agent.register()
            async with agent.session.ws_connect(agent.url) as socket:
                on = agent.packed(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True})
                await socket.send_bytes(on)
                assert agent.opened((await socket.receive(10)).data).body["live_delivery"] is True
                mail = [sealed() for _ in range(5)]
                for packed in mail:
                    assert (await agent.post(agent.relay.wrapped(packed, agent.did)))[0] == 202
                brought: list[bytes] = []
                while len(brought) < len(mail):
                    delivery = agent.opened((await socket.receive(10)).data)
                    brought += contents(delivery)
                    await socket.send_bytes(
                        agent.packed(pickup.MESSAGES_RECEIVED["4.0"], {"message_id_list": ids(delivery)})
                    )
                assert brought == mail
            # The socket is gone: what comes waits.
            last = sealed()
            assert (await agent.post(agent.relay.wrapped(last, agent.did)))[0] == 202
            assert contents(await agent.ask(pickup.DELIVERY_REQUEST["4.0"], {"message_count_limit": 5})) == [last]
            assert (await agent.ask(pickup.STATUS_REQUEST["4.0"])).body["live_delivery"] is False

    asyncio.run(main())


def new_home(path: Path) -> Home:
    home = Home(path)
    home.create()
    return home


@pytest.mark.slow
def test_a_relay_with_a_public_url_says_in_its_routing_did_where_mail_is_brought(tmp_path: Path) -> None:
    async def main() -> None:
        home, keys = new_home(tmp_path / "relay"), new_keys()
        settings = Mediation(public=("127.0.0.1", 0), url="https://relay.example:8443")
        async with (
            open_relay(home, keys, listen=("/ip4/127.0.0.1/tcp/0",), mediation=settings) as relay,
            aiohttp.ClientSession() as session,
        ):
            routing_did = relay.routing_did
            assert routing_did is not None
            [service] = resolve_did_peer(routing_did).services
            assert [endpoint.uri for endpoint in service.endpoints] == ["https://relay.example:8443/didcomm"]
            async with session.get(f"{relay.public}/.well-known/did.json") as response:
                document = json.loads(await response.read())
            assert document["id"] == "did:web:relay.example%3A8443"
            assert document["alsoKnownAs"] == [relay.did]
            # Mail is taken under every name of the relay; for nobody it knows, it is refused.
            for name in (resolve_did_peer(routing_did), resolve_did_key(relay.did)):
                forward = wrap(sealed(), next_did=Did("did:key:z6Mk"), routing=[name], entropy=os.urandom)
                async with session.post(f"{relay.public}/didcomm", data=forward, headers=HEADERS) as response:
                    assert response.status == 400
            assert relay.mediator is not None
            assert relay.mediator.counters["mediator_forward_unknown"] == 2
        # The same keys and URL are the same DID, also after a restart.
        async with open_relay(home, keys, listen=("/ip4/127.0.0.1/tcp/0",), mediation=settings) as relay:
            assert relay.routing_did == routing_did

    asyncio.run(main())
