import asyncio
import sqlite3
from pathlib import Path

import pytest

from identity.did import DIDCOMM_SERVICE, Did, Endpoint, Service, did_key, resolve_did_key
from identity.did_peer import make_did_peer_2, make_did_peer_4, resolve_did_peer
from identity.keys import agreement_key_of
from node.messaging.introductions import MAX_ADDRESSES, services_of, twin_of
from node.messaging.routes import endpoints_of_text
from protocols.conversations import trust_ping
from protocols.errors import MalformedMessage
from protocols.introduction import FORMAT, introduction
from protocols.message import Attachment
from protocols.swarm import Mediator
from storage import contacts, mailbox
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, new_did, new_keys, open_node, private

PLACE = (Service("#didcomm", DIDCOMM_SERVICE, (Endpoint("https://ada.example/didcomm"),)),)


def peer_of(signing: bytes, agreement: bytes) -> Did:
    return make_did_peer_2(signing, agreement, PLACE)


def test_a_did_peer_of_a_twins_keys_is_that_twin_and_every_other_is_itself() -> None:
    keys, other = new_keys(), new_keys()
    own = did_key(keys.public)
    assert twin_of(resolve_did_peer(peer_of(keys.public, agreement_key_of(keys.public)))) == own
    foreign = peer_of(keys.public, agreement_key_of(other.public))
    assert twin_of(resolve_did_peer(foreign)) == foreign
    assert twin_of(resolve_did_key(own)) == own
    four = make_did_peer_4(
        {
            "verificationMethod": [
                {"id": "#k", "type": "Multikey", "publicKeyMultibase": own.removeprefix("did:key:")},
            ],
            "authentication": ["#k"],
        }
    )
    assert twin_of(resolve_did_peer(four)) == four


def test_the_best_ways_to_us_come_first_and_there_are_few() -> None:
    peer = "12D3KooWA1bXcc9LbJtKzYFkyXgcVnXFYJtbtyVQG7Tm52cwnUWn"
    addresses = [
        f"/ip4/127.0.0.1/tcp/1/p2p/{peer}",
        f"/ip4/192.168.1.7/tcp/1/p2p/{peer}",
        f"/dns4/ada.example/tcp/1/p2p/{peer}",
        f"/ip4/0.0.0.0/tcp/1/p2p/{peer}",
        f"/ip4/1.2.3.4/tcp/1/p2p/{peer}",
    ]
    mediators = [Mediator(new_did(), (f"wss://mediator{n}.example/didcomm", "unused")) for n in range(3)]
    [service] = services_of(public_url="https://ada.example/twin/", addresses=addresses, mediators=mediators)
    uris = [endpoint.uri for endpoint in service.endpoints]
    assert uris[0] == "https://ada.example/twin/didcomm"
    assert uris[1:3] == [addresses[4], addresses[2]]  # and nothing of our own network, which the world has no use for
    assert [endpoint.routing_keys for endpoint in service.endpoints[-2:]] == [(mediators[0].did,), (mediators[1].did,)]
    [service] = services_of(public_url=None, addresses=addresses, mediators=[])
    assert [endpoint.uri for endpoint in service.endpoints] == [addresses[4], addresses[2], addresses[1]]
    assert len(service.endpoints) == MAX_ADDRESSES
    assert services_of(public_url=None, addresses=[], mediators=[]) == ()


def test_an_invitation_still_fits_into_a_qr_code(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            mail.introductions.public_url = "https://a-rather-long-name.somewhere.example:8443/twin"
            mail.introductions.mediators = lambda: [
                Mediator(new_did(), (f"/ip4/203.0.113.{n}/tcp/4801/p2p/{node.peer_id}",)) for n in range(3)
            ]
            invitation = await mail.invitations.create(goal="x" * 80)
            assert len(invitation.url) <= 2953  # version 40, level L, bytes (ISO/IEC 18004, table 7)

    asyncio.run(main())


def test_what_a_named_twin_says_of_itself_is_kept_and_nothing_of_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, anna, bert = Mail(node), new_keys(), new_keys()
            annas = did_key(anna.public)
            own, berts = (peer_of(keys.public, agreement_key_of(keys.public)) for keys in (anna, bert))

            async def learn(did: Did) -> contacts.Contact | None:
                message = private(anna, node, trust_ping.PING, attachments=(introduction(did),))
                await mail.introductions.learn(annas, message)
                return await node.database.read(lambda conn: contacts.get_contact(conn, annas))

            assert await learn(own) is None  # a stranger's word
            await node.trust.change(lambda _, trust: _naming(trust, annas))
            for lie in (berts, peer_of(anna.public, agreement_key_of(bert.public)), annas):
                assert await learn(lie) is None
            contact = await learn(own)
            assert contact is not None
            assert endpoints_of_text(contact.services) == (Endpoint("https://ada.example/didcomm"),)

    asyncio.run(main())


def _naming(trust, did):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(trust, allow=trust.allow | {did})


@pytest.mark.parametrize("value", [None, 1, {}, {"did": 1}, {"did": "nobody"}])
def test_an_introduction_that_is_none_is_refused(tmp_path: Path, value: object) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, anna = Mail(node), new_keys()
            attachment = Attachment(data={"json": value}, format=FORMAT)
            message = private(anna, node, trust_ping.PING, attachments=(attachment,))
            with pytest.raises(MalformedMessage):
                await mail.introductions.learn(did_key(anna.public), message)

    asyncio.run(main())


def test_twins_know_us_by_our_did_key_and_other_agents_by_a_name_that_says_where_we_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            mail.introductions.public_url = "https://ada.example"
            foreign = peer_of(new_keys().public, agreement_key_of(new_keys().public))
            assert await mail.introductions.name_for(new_did()) == node.did
            name = await mail.introductions.name_for(foreign)
            assert [service.endpoints[0].uri for service in resolve_did_peer(name).services] == [
                "https://ada.example/didcomm"
            ]
            mail.introductions.public_url = "https://elsewhere.example"
            assert await mail.introductions.name_for(foreign) != name
            await node.database.write(lambda conn: _receive(conn, foreign, name))
            assert await mail.introductions.name_for(foreign) == name, "it goes on as it began"

    asyncio.run(main())


def _receive(conn: sqlite3.Connection, sender: Did, recipient: Did) -> None:
    mailbox.put_inbound(
        conn,
        message_id="1",
        from_did=sender,
        to_did=recipient,
        type="https://example.org/1.0/note",
        thid=None,
        plaintext=b"{}",
        created_time=None,
        received_ms=0,
    )
