"""The mediator over a network in memory and a real database: what it keeps, for whom, and what it never does."""

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import mediator as module
from identity.did import did_key, resolve_did_key
from identity.did_peer import make_did_peer_2, resolve_did_peer
from node.messaging.source import ACCEPTED, PROTOCOL, REFUSED, TRY_LATER, Source
from protocols import limits
from protocols.conversations import discover_features, mediation, pickup, problem_report, trust_ping
from protocols.conversations.routing import FORWARD, wrap
from protocols.didcomm.author import AgreementKey, Author, author_of
from protocols.didcomm.envelope import pack_private, unpack
from protocols.didcomm.from_prior import make_from_prior
from protocols.message import Attachment, Message
from storage import mediation as rows
from storage.errors import StorageFull
from tests.bootstrap.clients import Client, contents, ids, open_client, open_relay_on, sealed
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Clock, new_did, new_keys, soon


async def drained(client: Client) -> list[bytes]:
    """Everything that waits, fetched and confirmed as a client should."""
    found: list[bytes] = []
    while (await client.status())["message_count"]:
        delivery = await client.fetch()
        found += contents(delivery)
        await client.confirm(*ids(delivery))
    return found


async def nothing_more(client: Client) -> None:
    """The relay has sent the client nothing that it has not taken: its answer to a ping is the next."""
    answer = await client.ask(trust_ping.PING)
    assert answer.type == trust_ping.PING_RESPONSE


def test_mail_waits_until_its_owner_confirms_it_also_over_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        keys, relay_keys = new_keys(), new_keys()
        mail = [sealed() for _ in range(150)]
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path, keys=relay_keys) as relay:
            async with open_client(swarm, relay, keys=keys) as client:
                await client.register()
            for packed in mail:
                assert await relay.forward(packed, did_key(keys.public)) == ACCEPTED
        async with (
            open_relay_on(swarm, tmp_path, keys=relay_keys) as relay,
            open_client(swarm, relay, keys=keys) as client,
        ):
            status = await client.status()
            assert (status["message_count"], status["total_bytes"]) == (150, sum(map(len, mail)))
            assert contents(await client.fetch(3)) == mail[:3]
            assert contents(await client.fetch(3)) == mail[:3]  # handed over is not confirmed
            assert await drained(client) == mail
            assert contents(await client.fetch()) == []

    asyncio.run(main())


@pytest.mark.parametrize("version", mediation.VERSIONS)
def test_both_versions_of_coordination(tmp_path: Path, version: mediation.Version) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            machine, request = mediation.Client(version).request()
            machine, grant = machine.receive(await client.ask(request.type, request.body))
            assert grant == mediation.Grant((relay.did,))
            machine, update = machine.update(add=[client.did])
            machine, updated = machine.receive(await client.ask(update.type, update.body))
            assert isinstance(updated, mediation.UpdateResponse)
            assert [outcome.result for outcome in updated.outcomes] == ["success"]
            machine, query = machine.query()
            machine, keylist = machine.receive(await client.ask(query.type, query.body))
            assert keylist == mediation.Keylist((client.did,))
            assert await client.update(client.did) == ["no_change"]
            assert await client.update(client.did, action="remove") == ["success"]
            assert await relay.forward(sealed(), client.did) == REFUSED

    asyncio.run(main())


def test_version_3_of_pickup(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            mail = sealed()
            await relay.forward(mail, client.did)
            delivery = await client.ask(pickup.DELIVERY_REQUEST["3.0"], {"limit": 10})
            assert contents(delivery) == [mail]
            status = await client.ask(pickup.MESSAGES_RECEIVED["3.0"], {"message_id_list": ids(delivery)})
            assert (status.type, status.body["message_count"]) == (pickup.STATUS["3.0"], 0)

    asyncio.run(main())


def test_a_message_is_for_its_owner_alone(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_client(swarm, relay) as anna,
            open_client(swarm, relay) as bert,
        ):
            await anna.register()
            await bert.register()
            mail = sealed()
            assert await relay.forward(mail, anna.did) == ACCEPTED
            assert (await bert.status())["message_count"] == 0
            annas = await anna.fetch()
            await bert.confirm(*ids(annas))
            assert contents(await anna.fetch()) == [mail]
            # Nor by asking for the other's DID by name.
            asked = await bert.ask(
                pickup.DELIVERY_REQUEST["4.0"], {"message_count_limit": 9, "recipient_did": anna.did}
            )
            assert contents(asked) == []

    asyncio.run(main())


def test_nobody_can_have_anothers_mail_kept(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_client(swarm, relay) as anna,
            open_client(swarm, relay) as thief,
        ):
            await thief.register()
            assert await thief.update(anna.did, new_did()) == ["client_error", "client_error"]
            assert await relay.forward(sealed(), anna.did) == REFUSED
            await anna.register()
            assert await thief.update(anna.did) == ["client_error"]
            assert await thief.update(anna.did, action="remove") == ["no_change"]
            # A did:peer that names Anna's key among the thief's own.
            annas, thiefs = resolve_did_key(anna.did), resolve_did_key(thief.did)
            mixed = make_did_peer_2(thiefs.authentication[0].public, annas.key_agreement[0].public, ())
            assert await thief.update(mixed) == ["client_error"]
            # One that says that it is Anna is not taken for her.
            forged = pack_private(
                Message(id="1", type=pickup.DELIVERY_REQUEST["4.0"], from_=thief.did, to=(relay.did,)),
                author=author_of(thief.keys),
                recipient=relay.document,
                entropy=os.urandom,
            )
            assert unpack(forged, keys=[relay.own.keys()[0]]).sender == thief.did
            mail = sealed()
            assert await relay.forward(mail, anna.did) == ACCEPTED
            assert await drained(anna) == [mail]

    asyncio.run(main())


def test_another_name_of_the_same_keys_is_the_clients(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            own = resolve_did_key(client.did)
            alias = make_did_peer_2(own.authentication[0].public, own.key_agreement[0].public, ())
            await client.register(alias)
            mail = sealed()
            assert await relay.forward(mail, alias) == ACCEPTED
            assert await drained(client) == [mail]
            # The alias asks over its owner's connection, and is a client of its own.
            document = resolve_did_peer(alias)
            author = Author(
                alias,
                (AgreementKey(document.key_agreement[0].id, client.keys.agreement_secret),),
                document.authentication[0].id,
                client.keys.sign,
            )
            client.aliases.append(author)
            granted = await client.ask(mediation.REQUEST["3.0"], author=author)
            assert granted.to == (alias,)

    asyncio.run(main())


def test_a_client_that_changes_its_name_keeps_its_mail(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        old, new = new_keys(), new_keys()
        async with open_relay_on(swarm, tmp_path) as relay:
            async with open_client(swarm, relay, keys=old) as client:
                await client.register()
            mail = [sealed(), sealed()]
            assert await relay.forward(mail[0], did_key(old.public)) == ACCEPTED
            async with open_client(swarm, relay, keys=new) as client:
                await client.register()
                jwt = make_from_prior(old=author_of(old), new_did=client.did, iat=START_MS // 1000)
                await client.ask(pickup.STATUS_REQUEST["4.0"], from_prior=jwt)
                assert await relay.forward(mail[1], did_key(old.public)) == ACCEPTED
                assert await drained(client) == mail
                # Somebody else's word changes nothing.
                async with open_client(swarm, relay) as thief:
                    assert await thief.send(pickup.STATUS_REQUEST["4.0"], from_prior=jwt) == REFUSED

    asyncio.run(main())


def test_forwards_that_are_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, clock = FakeSwarm(), Clock()
        async with open_relay_on(swarm, tmp_path, clock=clock) as relay, open_client(swarm, relay) as client:
            await client.register()
            source = Source("http", "192.0.2.1")
            assert await relay.forward(sealed(), new_did()) == REFUSED  # for nobody here
            assert await relay.mediator.accept(source, os.urandom(500)) == REFUSED
            assert await relay.mediator.accept(source, b"{" * 100_000) == REFUSED
            whole = relay.wrapped(sealed("x" * 1000), client.did)
            assert await relay.mediator.accept(source, whole[:-300] + whole[-200:]) == REFUSED
            assert await relay.mediator.accept(source, b" " * limits.MAX_DIDCOMM_BYTES + whole) == REFUSED
            for body in ({}, {"next": "nobody"}, {"next": client.did}, {"next": 7}):
                assert await client.send("https://didcomm.org/routing/2.0/forward", body) == REFUSED
            assert (await client.status())["message_count"] == 0

    asyncio.run(main())


def test_the_longest_message_is_kept_and_a_longer_one_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            longest = sealed("x" * (limits.MAX_FORWARDED_BYTES - len(sealed())))
            assert len(longest) == limits.MAX_FORWARDED_BYTES
            assert await relay.forward(longest, client.did) == ACCEPTED
            assert await drained(client) == [longest]
            too_long = longest + b" "
            # `wrap` refuses it, so it is wrapped here as a hostile sender would.
            assert (
                await client.send(FORWARD, {"next": client.did}, attachments=[Attachment.of_base64(too_long)])
                == REFUSED
            )

    asyncio.run(main())


def test_a_key_of_the_recipient_is_as_good_as_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            mail, kid = sealed(), resolve_did_key(client.did).key_agreement[0].id
            wrapped = wrap(mail, next_did=kid, routing=[relay.document], entropy=os.urandom)
            assert await relay.mediator.accept(Source("http", "1"), wrapped) == ACCEPTED
            assert await drained(client) == [mail]

    asyncio.run(main())


def test_a_forward_again_is_kept_once(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            mail = sealed()
            forward = relay.wrapped(mail, client.did)
            for _ in range(3):
                assert await relay.mediator.accept(Source("http", "1"), forward) == ACCEPTED
            assert await relay.forward(mail, client.did) == ACCEPTED  # wrapped anew, and the same inside
            assert await drained(client) == [mail]

    asyncio.run(main())


def test_a_full_queue_says_try_later_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(rows, "MAX_MESSAGES", 5)
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            mail = [sealed() for _ in range(6)]
            answers = [await relay.forward(packed, client.did) for packed in mail]
            assert answers == [ACCEPTED] * 5 + [TRY_LATER]
            assert await drained(client) == mail[:5]
            assert await relay.forward(mail[5], client.did) == ACCEPTED

    asyncio.run(main())


def test_ten_thousand_wait_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            mail = [b'{"ciphertext":"%d"}' % number for number in range(10_000)]

            def fill(conn: object) -> None:
                for packed in mail:
                    rows.put_message(conn, client.did, packed, now_ms=START_MS, max_bytes=1 << 32)  # type: ignore[arg-type]

            await relay.database.write(fill)
            assert await relay.forward(b'{"ciphertext":"one more"}', client.did) == TRY_LATER
            assert (await client.status())["message_count"] == 10_000
            assert await drained(client) == mail

    asyncio.run(main())


def test_a_flood_from_one_place_is_held_back_and_others_are_not(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            flood = relay.wrapped(sealed(), new_did())
            source = Source("http", "198.51.100.1")
            answers = {await relay.mediator.accept(source, flood) for _ in range(limits.RELAY_BURST + 1)}
            assert answers == {REFUSED, TRY_LATER}
            assert await relay.forward(sealed(), client.did) == ACCEPTED

    asyncio.run(main())


def test_bytes_from_one_place_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FORWARDED_BURST_BYTES", 10_000)

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            long = [sealed("x" * 6000) for _ in range(2)]
            assert await relay.forward(long[0], client.did, key="one") == ACCEPTED
            assert await relay.forward(long[1], client.did, key="one") == TRY_LATER
            assert await relay.forward(long[1], client.did, key="another") == ACCEPTED

    asyncio.run(main())


def test_one_place_does_not_take_all_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRANTS_BURST", 2)

    async def main() -> None:
        swarm, clock = FakeSwarm(), Clock()
        async with open_relay_on(swarm, tmp_path, clock=clock) as relay, open_client(swarm, relay, clock=clock) as many:
            types = []
            for _ in range(3):
                keys = new_keys()
                own = Client(relay, many.network, keys, clock)
                source = Source("libp2p", "one peer", many.did)
                many.keys = keys  # what comes back is for this one
                assert await relay.mediator.accept(source, own.packed(mediation.REQUEST["3.0"])) == ACCEPTED
                types.append((await soon(many.got.get())).type)
            assert types == [mediation.GRANT["3.0"]] * 2 + [mediation.DENY["3.0"]]
            clock.advance(3600)
            assert (await many.ask(mediation.REQUEST["3.0"])).type == mediation.GRANT["3.0"]
            assert (await many.ask(mediation.REQUEST["2.0"])).type == mediation.GRANT["2.0"]  # it is one already

    asyncio.run(main())


def test_who_is_no_client_gets_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            for asked in (pickup.STATUS_REQUEST["4.0"], pickup.STATUS_REQUEST["3.0"]):
                answer = await client.ask(asked)
                assert (answer.type, answer.body["code"]) == (problem_report.PROBLEM, "e.p.req.not-a-client")
            answer = await client.ask(mediation.UPDATE["3.0"], {"updates": []})
            assert answer.body["code"] == problem_report.UNEXPECTED
            answer = await client.ask(pickup.DELIVERY_REQUEST["4.0"], {"message_count_limit": 0})
            assert answer.body["code"] == problem_report.MALFORMED

    asyncio.run(main())


def test_what_else_it_answers(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            assert (await client.ask(trust_ping.PING, message_id="p1")).thread == "p1"
            query = {"queries": [{"feature-type": "protocol", "match": "https://didcomm.org/*"}]}
            told = discover_features.Disclosures.from_body((await client.ask(discover_features.QUERIES, query)).body)
            roles = {feature.id: feature.roles for feature in told.features}
            assert roles["https://didcomm.org/coordinate-mediation/3.0"] == ("mediator",)
            assert roles["https://didcomm.org/routing/2.0"] == ("mediator",)
            unknown = await client.ask("https://example.org/tea/1.0/invite", message_id="t1")
            assert (unknown.body["code"], unknown.pthid, unknown.ack) == ("e.p.msg.unsupported", "t1", ("t1",))
            assert await client.send(problem_report.PROBLEM, {"code": "e.p.msg"}) == ACCEPTED
            await nothing_more(client)

    asyncio.run(main())


def test_a_clients_message_again_does_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            removal = client.packed(
                mediation.UPDATE["3.0"], {"updates": [{"recipient_did": client.did, "action": "remove"}]}
            )
            await client.network.request(relay.network.peer_id, PROTOCOL, removal)
            await soon(client.got.get())
            assert await client.update(client.did) == ["success"]
            # Whoever recorded it sends it again.
            assert await relay.mediator.accept(Source("http", "thief"), removal) == ACCEPTED
            assert await relay.forward(sealed(), client.did) == ACCEPTED

    asyncio.run(main())


def test_old_messages_of_clients_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, clock = FakeSwarm(), Clock()
        async with open_relay_on(swarm, tmp_path, clock=clock) as relay, open_client(swarm, relay) as client:
            await client.register()
            clock.advance(limits.REPLAY_WINDOW_S + 60)
            assert await client.send(pickup.STATUS_REQUEST["4.0"]) == REFUSED

    asyncio.run(main())


def test_mail_is_dropped_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_EVERY_S", 0.001)

    async def main() -> None:
        swarm, clock = FakeSwarm(), Clock()
        async with (
            open_relay_on(swarm, tmp_path, clock=clock) as relay,
            open_client(swarm, relay, clock=clock) as client,
        ):
            await client.register()
            await relay.forward(sealed(), client.did)
            clock.advance(3600)
            assert (await client.status())["message_count"] == 1
            clock.advance(rows.MESSAGE_KEPT_MS / 1000)
            while not relay.counters["mediator_expired"]:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.001)
            assert (await client.status())["message_count"] == 0

    asyncio.run(main())


def test_a_full_disk_is_told_to_the_sender_and_does_not_end_the_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_EVERY_S", 0)

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()

            async def full(fn: object) -> object:
                refused.set()
                raise StorageFull("the disk is full")

            refused, write = asyncio.Event(), relay.database.write
            monkeypatch.setattr(relay.database, "write", full)
            assert await relay.forward(sealed(), client.did) == TRY_LATER
            refused.clear()
            await soon(refused.wait())  # the sweep met it too
            monkeypatch.setattr(relay.database, "write", write)
            assert await relay.forward(sealed(), client.did) == ACCEPTED
            assert len(await drained(client)) == 1

    asyncio.run(main())


# Live delivery


def test_a_live_client_is_brought_what_comes_in_order_and_in_windows(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            assert (await client.go_live())["live_delivery"] is True
            mail = [sealed() for _ in range(3 * limits.LIVE_WINDOW)]
            for packed in mail:
                assert await relay.forward(packed, client.did) == ACCEPTED
            brought: list[bytes] = []
            while len(brought) < len(mail):
                window: list[str] = []
                while len(window) < limits.LIVE_WINDOW:
                    delivery = await soon(client.got.get())
                    brought += contents(delivery)
                    window += ids(delivery)
                await nothing_more(client)
                await client.confirm(*window)
            assert brought == mail
            assert (await client.status())["message_count"] == 0

    asyncio.run(main())


def test_what_waited_is_asked_for_and_comes_before_what_is_new(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            old, new = [sealed() for _ in range(3)], sealed()
            for packed in old:
                await relay.forward(packed, client.did)
            assert (await client.go_live())["message_count"] == 3
            await nothing_more(client)
            fetched = await client.fetch()
            assert contents(fetched) == old
            await relay.forward(new, client.did)
            assert contents(await soon(client.got.get())) == [new]  # and not what it was just handed

    asyncio.run(main())


def test_live_mode_ends_with_the_connection_and_nothing_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        keys = new_keys()
        async with open_relay_on(swarm, tmp_path) as relay:
            async with open_client(swarm, relay, keys=keys) as client:
                await client.register()
                await client.go_live()
            mail = sealed()
            assert await relay.forward(mail, client.did) == ACCEPTED
            async with open_client(swarm, relay, keys=keys) as client:
                status = await client.status()
                assert (status["live_delivery"], status["message_count"]) == (False, 1)
                assert await drained(client) == [mail]

    asyncio.run(main())


def test_a_client_that_takes_nothing_is_not_pushed_to_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            await client.go_live()
            client.answers_with = TRY_LATER
            await relay.forward(sealed(), client.did)
            live = relay.mediator._live
            while live.is_live(client.did):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)
            client.answers_with = ACCEPTED
            assert len(await drained(client)) == 1

    asyncio.run(main())


def test_live_mode_needs_a_connection_of_the_client_itself(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_client(swarm, relay) as client,
            open_client(swarm, relay) as thief,
        ):
            await client.register()
            recorded = client.packed(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True})
            thief.keys = client.keys  # only to read what comes
            await thief.network.request(relay.network.peer_id, PROTOCOL, recorded)
            assert (await soon(thief.got.get())).body["code"] == problem_report.LIVE_MODE_NOT_SUPPORTED
            assert not relay.mediator._live.is_live(client.did)

    asyncio.run(main())


def test_live_mode_can_be_switched_off(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            await client.go_live()
            answer = await client.ask(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": False})
            assert answer.body["live_delivery"] is False
            await relay.forward(sealed(), client.did)
            await nothing_more(client)

    asyncio.run(main())


def test_it_reads_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is forwarded is encrypted for its recipient; even of that nothing is logged. Its memory is looked through
    in `test_mediator_crash`."""

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_relay_on(swarm, tmp_path) as relay, open_client(swarm, relay) as client:
            await client.register()
            await client.go_live()
            letter = Message(id="1", type="https://example.org/1.0/x", body={"text": "the blue key"}, to=(client.did,))
            letter = replace(letter, from_=client.did)
            packed = pack_private(
                letter, author=author_of(client.keys), recipient=resolve_did_key(client.did), entropy=os.urandom
            )
            assert await relay.forward(packed, client.did) == ACCEPTED
            delivery = await soon(client.got.get())
            assert contents(delivery) == [packed]
            await client.confirm(*ids(delivery))
            await client.status()
            assert packed[-60:-20].decode() not in caplog.text

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert "the blue key" not in caplog.text
    assert not any(b"the blue key" in path.read_bytes() for path in tmp_path.iterdir())
