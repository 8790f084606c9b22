"""Two post offices on networks without a connection: an invitation and HTTP do it all."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from identity.did import resolve_did_key
from identity.did_peer import make_did_peer_2
from identity.keys import agreement_key_of
from node.errors import InvitationOver, InvitationUnknown, InvitationUnreadable, OwnInvitation
from node.http.door import TwinDoor
from node.http.listening import listen
from node.http.public import make_public_app
from node.messaging.source import ACCEPTED, REFUSED, Source
from protocols.conversations import basicmessage, discover_features, out_of_band, trust_ping
from protocols.didcomm.envelope import pack_authcrypt
from protocols.message import Message
from storage import contacts
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, Mail, new_keys, open_node, private, running, soon, watching


@asynccontextmanager
async def open_mail(home: Path, clock: Clock, *, listening: bool = True) -> AsyncIterator[Mail]:
    """A post office in a world of its own: no libp2p connection leads to it. With `listening` HTTP does."""
    async with open_node(FakeSwarm(), home, clock=clock) as node:
        mail = Mail(node)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(mail.outside.close)
            if listening:
                app = make_public_app(TwinDoor(mail.intake, node.own))
                mail.introductions.public_url = await stack.enter_async_context(listen(app, "127.0.0.1", 0))
            yield mail


@asynccontextmanager
async def open_pair(path: Path) -> AsyncIterator[tuple[Mail, Mail]]:
    """Ada and Bela."""
    clock = Clock()
    async with (
        open_mail(path / "ada", clock) as ada,
        open_mail(path / "bela", clock) as bela,
        running(ada.office.run(), bela.office.run()),
    ):
        yield ada, bela


def test_two_who_meet_by_an_invitation_write_to_each_other_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (ada, bela), watching(ada.node) as adas, watching(bela.node) as belas:
            invitation = await ada.invitations.create(goal="dinner", name="Bela of the garden")
            accepted = await bela.invitations.accept(invitation.url)
            assert accepted.did == ada.node.did
            assert bela.node.trust.named == {ada.node.did}
            used = await adas.until("invitation_used")
            assert used.payload == {"did": bela.node.did, "goal": "dinner"}
            assert invitation.id not in str(used)
            assert ada.node.trust.named == {bela.node.did}

            sent = await ada.office.send(bela.node.did, basicmessage.MESSAGE, {"content": "welcome"})
            # A web server proves nobody: only Bela's own word, which comes the other way, makes it delivered.
            assert await soon(ada.office.wait_delivered(sent.id, 20)) == "sent"
            await adas.until("didcomm_delivered", lambda event: event.subject == sent.id)
            await belas.until("didcomm_received", lambda event: event.payload["named"])
            [row] = (await bela.office.inbox(9)).items
            assert (row.from_did, row.via) == (ada.node.did, "http")
            back = await bela.office.send(ada.node.did, basicmessage.MESSAGE, {"content": "thank you"})
            await belas.until("didcomm_delivered", lambda event: event.subject == back.id)

            pong = await ada.exchange.ask(bela.node.did, trust_ping.PING, {}, timeout_s=20)
            assert (pong.type, pong.from_) == (trust_ping.PING_RESPONSE, bela.node.did)
            queries = discover_features.Queries((discover_features.Query("protocol", "https://didcomm.org/*"),))
            told = await bela.exchange.ask(ada.node.did, discover_features.QUERIES, queries.to_body(), timeout_s=20)
            found = discover_features.Disclosures.from_body(told.body).features
            assert trust_ping.URI in {feature.id for feature in found}
            # Nothing of the talking was kept.
            assert len((await ada.office.inbox(9)).items) == len((await bela.office.inbox(9)).items) == 1

            known = await ada.node.database.read(lambda conn: contacts.get_contact(conn, bela.node.did))
            assert known is not None
            assert known.name == "Bela of the garden"

    asyncio.run(main())


def test_one_that_was_away_learns_of_the_answer_when_it_is_back(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with (
            open_mail(tmp_path / "ada", clock) as ada,
            open_mail(tmp_path / "bela", clock, listening=False) as bela,
        ):
            invitation = await ada.invitations.create()
            ada_is_away = ada.intake.accept
            ada.intake.accept = lambda source, packed: _later()  # type: ignore[method-assign]
            async with running(bela.office.run()):
                await bela.invitations.accept(invitation.url)
                await soon(bela.delivery.idle())
                assert [row.status for row in (await bela.office.outbox(9)).items] == ["queued"]
                assert ada.node.trust.named == set()
                ada.intake.accept = ada_is_away  # type: ignore[method-assign]
                clock.advance(120)
                bela.delivery.wake()
                [row] = (await bela.office.outbox(9)).items
                # Bela takes nothing over HTTP, so Ada's word that she has it waits for another way.
                assert await soon(bela.office.wait_delivered(row.message_id, 20)) == "sent"
                assert ada.node.trust.named == {bela.node.did}

    asyncio.run(main())


async def _later() -> bytes:
    return b"\x02"


HTTP = Source("http", "192.0.2.1")


async def answer(mail: Mail, invitation_id: str, keys: object = None, takes: bytes = ACCEPTED) -> Message:
    """Somebody's first message, which names an invitation."""
    keys = keys or new_keys()
    message = private(keys, mail.node, trust_ping.PING, pthid=invitation_id)  # type: ignore[arg-type]
    packed = pack_authcrypt(
        message,
        sender=keys,
        recipients=[resolve_did_key(mail.node.did)],
        entropy=os.urandom,  # type: ignore[arg-type]
    )
    assert await mail.intake.accept(HTTP, packed) == takes
    return message


def test_an_invitation_for_one_admits_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(tmp_path / "ada", Clock(), listening=False) as ada:
            invitation = await ada.invitations.create()
            keys = new_keys()
            first = await answer(ada, invitation.id, keys)
            await answer(ada, invitation.id, takes=REFUSED)
            assert ada.node.trust.named == {first.from_}
            # Whom the owner sends away again does not come back by the same link.
            await ada.node.name()
            await answer(ada, invitation.id, keys, takes=REFUSED)
            assert ada.node.trust.named == set()

    asyncio.run(main())


def test_an_invitation_for_two_admits_two(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(tmp_path / "ada", Clock(), listening=False) as ada:
            invitation = await ada.invitations.create(uses=2)
            senders = [(await answer(ada, invitation.id)).from_ for _ in range(2)]
            await answer(ada, invitation.id, takes=REFUSED)
            assert ada.node.trust.named == set(senders)
            [row] = (await ada.invitations.list(9)).items
            assert (row.used, row.uses) == (2, 2)

    asyncio.run(main())


def test_one_that_is_over_withdrawn_or_guessed_admits_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(tmp_path / "ada", Clock(), listening=False) as ada:
            late = await ada.invitations.create(expires_s=60)
            withdrawn = await ada.invitations.create()
            await ada.invitations.remove(withdrawn.id)
            with pytest.raises(InvitationUnknown):
                await ada.invitations.remove(withdrawn.id)
            ada.node.clock.advance(60)
            await answer(ada, late.id, takes=REFUSED)
            for guess in (withdrawn.id, "1", late.id[:-1]):
                await answer(ada, guess)
            assert ada.node.trust.named == set()
            # 128 bits of chance, and never the same
            assert len({(await ada.invitations.create()).id for _ in range(50)}) == 50
            assert len(late.id) >= 22

    asyncio.run(main())


def test_a_blocked_twin_does_not_come_in_by_an_invitation(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(tmp_path / "ada", Clock(), listening=False) as ada:
            invitation, keys = await ada.invitations.create(), new_keys()
            message = private(keys, ada.node, trust_ping.PING, pthid=invitation.id)
            trust = ada.node.trust.current
            assert message.from_ is not None
            await ada.node.trust.put(replace(trust, block=frozenset({message.from_})))
            packed = pack_authcrypt(
                message, sender=keys, recipients=[resolve_did_key(ada.node.did)], entropy=os.urandom
            )
            await ada.intake.accept(HTTP, packed)
            assert ada.node.trust.named == set()
            [row] = (await ada.invitations.list(9)).items
            assert row.used == 0

    asyncio.run(main())


def test_what_is_no_invitation_of_somebody_else_is_not_accepted(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with (
            open_mail(tmp_path / "ada", clock, listening=False) as ada,
            open_mail(tmp_path / "bela", clock, listening=False) as bela,
        ):
            own = await bela.invitations.create()
            late = await ada.invitations.create(expires_s=60)
            for url in (
                "",
                "https://a.example/",
                "didcomm://invitation?_oob=e30",
                late.url[:-8],
                late.url + "#x"[:0] + "A",
            ):
                with pytest.raises(InvitationUnreadable):
                    await bela.invitations.accept(url)
            with pytest.raises(OwnInvitation):
                await bela.invitations.accept(own.url)
            clock.advance(60)
            with pytest.raises(InvitationOver):
                await bela.invitations.accept(late.url)
            assert bela.node.trust.named == set()
            assert (await bela.office.outbox(9)).items == ()

    asyncio.run(main())


def test_an_invitation_of_a_foreign_agent_is_accepted_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(tmp_path / "bela", Clock(), listening=False) as bela:
            signing, other = new_keys(), new_keys()
            did = make_did_peer_2(signing.public, agreement_key_of(other.public), ())
            message = Message(id="foreign", type=out_of_band.INVITATION, from_=did)
            accepted = await bela.invitations.accept(out_of_band.to_url(message, "https://agent.example/go"))
            assert accepted.did == did
            assert bela.node.trust.named == {did}
            [row] = (await bela.office.outbox(9)).items
            assert (row.to_did, row.type, row.pthid) == (did, trust_ping.PING, "foreign")

    asyncio.run(main())
