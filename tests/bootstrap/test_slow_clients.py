"""Clients of a mediator that take nothing, or claim what is not theirs: the others must not notice."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from identity.curves import to_multikey
from identity.did import Did, resolve_did_key
from identity.did_peer import make_did_peer_2, resolve_did_peer
from identity.keys import KeyPair, agreement_key_of
from node.messaging.source import ACCEPTED, REFUSED, Source
from protocols import limits
from protocols.conversations import mediation, pickup, trust_ping
from protocols.didcomm.author import AgreementKey, Author, author_of
from protocols.didcomm.envelope import pack_private
from protocols.message import Message
from tests.bootstrap.clients import Client, Relay, contents, open_client, open_relay_on, sealed
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, new_keys, soon


class StuckBack:
    """A WebSocket whose other end takes what it asked for, and later nothing any more."""

    name, closed = "stuck", False

    def __init__(self) -> None:
        self.stuck = False
        self.waiting = 0

    def keep(self) -> None: ...

    async def send(self, packed: bytes) -> None:
        if self.stuck:
            self.waiting += 1
            await asyncio.Event().wait()


def test_one_host_whose_clients_take_nothing_does_not_keep_mail_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIVE_PUSHES", 8)
    slow = [new_keys() for _ in range(12)]

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            await client.go_live()
            back = StuckBack()
            source = Source("websocket", "192.0.2.66", back=back)
            for keys in slow:
                author = author_of(keys)
                added = {"updates": [{"recipient_did": author.did, "action": "add"}]}
                for kind, body in (
                    (mediation.REQUEST["3.0"], {}),
                    (mediation.UPDATE["3.0"], added),
                    (pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True}),
                ):
                    packed = client.packed(kind, body, author=author)
                    assert await relay.mediator.accept(source, packed) == ACCEPTED
            back.stuck = True
            for keys in slow:
                assert await relay.forward(sealed(), author_of(keys).did) == ACCEPTED
            mail = sealed()
            assert await relay.forward(mail, client.did) == ACCEPTED
            assert contents(await soon(client.got.get())) == [mail]
            assert 0 < back.waiting <= limits.LIVE_PUSHES_PER_SOURCE

    asyncio.run(main())


def test_a_recorded_wish_for_live_delivery_does_not_move_it_to_somebody_else(tmp_path: Path) -> None:
    relay_keys, clock = new_keys(), Clock()

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_client_of(swarm, tmp_path, relay_keys, clock) as (_, client):
            await client.register()
            recorded = client.packed(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True})
            stopped = client.packed(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": False})
            keys = client.keys
        clock.advance(60)
        async with open_client_of(swarm, tmp_path, relay_keys, clock, keys) as (relay, client):
            await client.go_live()
            thief = Source("websocket", "192.0.2.66", back=StuckBack())
            for packed in (recorded, stopped):
                assert await relay.mediator.accept(thief, packed) == ACCEPTED
            mail = sealed()
            assert await relay.forward(mail, client.did) == ACCEPTED
            assert contents(await soon(client.got.get())) == [mail]

    asyncio.run(main())


def test_long_names_and_ids_cost_the_relay_no_more_memory(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.ask(trust_ping.PING, message_id="x" * limits.MAX_ID_CHARS)
            assert [len(key) for key in relay.mediator._clients._seen] == [32]

    asyncio.run(main())


def signed_by(thief: KeyPair, stolen: bytes) -> tuple[Author, Mapping[str, Any]]:
    """A did:peer that signs with the thief's key, and agrees with the victim's."""
    name = make_did_peer_2(thief.public, stolen, ())
    return Author(name, (), resolve_did_peer(name).authentication[0].id, thief.sign), {"form": "anoncrypt-signed"}


def encrypted_by(thief: KeyPair, stolen: bytes) -> tuple[Author, Mapping[str, Any]]:
    """A did:peer that agrees with a key of the thief's, and with the victim's beside it."""
    name = make_did_peer_2(thief.public, agreement_key_of(thief.public), ())
    name = Did(f"{name}.E{to_multikey('X25519', stolen)}")
    own, _ = resolve_did_peer(name).key_agreement
    key = AgreementKey(own.id, thief.agreement_secret)
    return Author(name, (key,), resolve_did_peer(name).authentication[0].id, thief.sign), {}


@pytest.mark.parametrize("claim", [signed_by, encrypted_by])
def test_a_name_that_borrows_the_victims_key_gets_nobodys_mail(
    tmp_path: Path, claim: Callable[[KeyPair, bytes], tuple[Author, Mapping[str, Any]]]
) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as victim:
            author, form = claim(new_keys(), resolve_did_key(victim.did).key_agreement[0].public)
            source = Source("websocket", "192.0.2.66", back=StuckBack())
            for kind, body in (
                (mediation.REQUEST["3.0"], {}),
                (mediation.UPDATE["3.0"], {"updates": [{"recipient_did": victim.did, "action": "add"}]}),
            ):
                message = Message(id=os.urandom(8).hex(), type=kind, body=body, from_=author.did, to=(relay.did,))
                packed = pack_private(message, author=author, recipient=relay.document, entropy=os.urandom, **form)
                assert await relay.mediator.accept(source, packed) == ACCEPTED
            assert await relay.forward(sealed(), victim.did) == REFUSED, "nobody has its mail kept"
            await victim.register()
            mail = sealed()
            assert await relay.forward(mail, victim.did) == ACCEPTED
            assert contents(await victim.fetch()) == [mail]

    asyncio.run(main())


@asynccontextmanager
async def open_client_of(
    swarm: FakeSwarm, folder: Path, relay_keys: KeyPair, clock: Clock, keys: KeyPair | None = None
) -> AsyncIterator[tuple[Relay, Client]]:
    async with (
        open_relay_on(swarm, folder, keys=relay_keys, clock=clock) as relay,
        open_client(swarm, relay, keys=keys, clock=clock) as client,
    ):
        yield relay, client
