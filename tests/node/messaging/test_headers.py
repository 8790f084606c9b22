"""What intake does about a message's headers, and with messages that are answered at once."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did, did_key, peer_id, resolve_did_key
from identity.keys import KeyPair
from node.errors import MessageTimeout
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER, Source, from_peer
from protocols import limits
from protocols.conversations import basicmessage, discover_features, empty, problem_report, trust_ping
from protocols.conversations.reply import Reply
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import pack_authcrypt, unpack
from protocols.didcomm.from_prior import FromPrior, make_from_prior
from protocols.message import Message
from storage import mailbox, outbox
from storage.trust import Trust
from tests.node.messaging.routes_back import FakeBack
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_keys, open_node, private, running, soon

ANNA = new_keys()
ANNAS_DID = did_key(ANNA.public)
NOTE = "https://test.example/1.0/note"


def packed(message: Message, to: Node, sender: KeyPair = ANNA) -> bytes:
    return pack_authcrypt(message, sender=sender, recipients=[resolve_did_key(to.did)], entropy=os.urandom)


def opened(data: bytes, keys: KeyPair = ANNA) -> Message:
    return unpack(data, keys=(keys,), resolve=resolve_did_key).message


async def name(node: Node, *keys: KeyPair) -> None:
    await node.trust.put(Trust(frozenset(did_key(one.public) for one in keys), frozenset(), 1.0, auto_adopt=True))


async def stored(node: Node) -> list[mailbox.InboxRow]:
    return list((await node.database.read(lambda conn: mailbox.inbox(conn, limit=100))).items)


# Answers


def test_a_ping_is_answered_over_its_own_connection_and_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            ping = private(ANNA, node, trust_ping.PING, body={}, return_route="all")
            assert await mail.intake.accept(Source("http", "192.0.2.1", back=back), packed(ping, node)) == ACCEPTED
            assert back.kept
            pong = opened(back.sent.get_nowait())
            assert (pong.type, pong.thid, pong.from_, pong.to) == (
                trust_ping.PING_RESPONSE, ping.id, node.did, (ANNAS_DID,),
            )  # fmt: skip
            assert await stored(node) == []
            assert (await node.events.log()).items == ()

    asyncio.run(main())


def test_without_return_route_nothing_goes_back_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            ping = private(ANNA, node, trust_ping.PING, body={})
            async with running(mail.answers.run()):
                assert await mail.intake.accept(Source("http", "192.0.2.1", back=back), packed(ping, node)) == ACCEPTED
                while not mail.answers.counters:  # noqa: ASYNC110 - a stranger has no other way, so it is dropped
                    await asyncio.sleep(0.005)
            assert mail.answers.counters == {"didcomm_answers_dropped": 1}
            assert (back.kept, back.sent.empty()) == (False, True)

    asyncio.run(main())


def test_a_stranger_is_answered_over_the_connection_of_its_own_key_and_over_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            mail, other = Mail(a), Mail(b)
            await b.dial(a)
            async with running(mail.office.run(), other.office.run()):
                reply = await other.exchange.ask(a.did, trust_ping.PING, {}, timeout_s=20)
                assert reply.type == trust_ping.PING_RESPONSE
                # The same question of a third, brought by b, is answered to nobody.
                ping = private(ANNA, a, trust_ping.PING, body={})
                assert await mail.intake.accept(from_peer(b.peer_id), packed(ping, a)) == ACCEPTED
                while not mail.answers.counters["didcomm_answers_dropped"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    asyncio.run(main())


@pytest.mark.parametrize("source", [Source("http", "192.0.2.1"), from_peer(peer_id(ANNA.public))])
def test_strangers_are_answered_only_so_often(tmp_path: Path, source: Source) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)

            async def ping(keys: KeyPair) -> bytes:
                return await mail.intake.accept(source, packed(private(keys, node, trust_ping.PING), node, keys))

            answers = [await ping(new_keys()) for _ in range(limits.ANSWER_BURST + 2)]  # each from another key
            assert answers == [ACCEPTED] * limits.ANSWER_BURST + [TRY_LATER] * 2
            await name(node, ANNA)
            assert [await ping(ANNA) for _ in range(30)] == [ACCEPTED] * 30

    asyncio.run(main())


def test_answers_that_nobody_takes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWERS_WAITING", 3)

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)  # whose answers are not being sent
            for _ in range(5):
                await mail.intake.accept(HTTP, packed(private(ANNA, node, trust_ping.PING), node))
            assert mail.answers.counters == {"didcomm_answers_dropped": 2}

    asyncio.run(main())


HTTP = Source("http", "192.0.2.1")


def test_what_this_twin_can_do_is_disclosed(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            mail.courtesies.disclose([discover_features.Feature("goal-code", "org.example.tea")])
            queries = {"queries": [{"feature-type": "goal-code", "match": "org.*"}]}
            ask = private(ANNA, node, discover_features.QUERIES, body=queries, return_route="thread")
            await mail.intake.accept(Source("websocket", "192.0.2.1", back=back), packed(ask, node))
            told = discover_features.Disclosures.from_body(opened(back.sent.get_nowait()).body)
            assert [feature.id for feature in told.features] == ["org.example.tea"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("message_type", "body"),
    [
        (trust_ping.PING, {"response_requested": "perhaps"}),
        (discover_features.QUERIES, {"queries": [{"feature-type": 1}] * 3}),
        (discover_features.QUERIES, {"queries": [{"feature-type": "protocol", "match": "*"}] * 1000}),
    ],
)
def test_a_question_that_is_none_is_refused(tmp_path: Path, message_type: str, body: Mapping[str, Any]) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            assert await mail.intake.accept(HTTP, packed(private(ANNA, node, message_type, body=body), node)) == REFUSED

    asyncio.run(main())


@pytest.mark.parametrize("message_type", [empty.EMPTY, trust_ping.PING_RESPONSE, discover_features.DISCLOSE])
def test_what_nobody_waited_for_is_not_kept(tmp_path: Path, message_type: str) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            assert await mail.intake.accept(HTTP, packed(private(ANNA, node, message_type, body={}), node)) == ACCEPTED
            assert await stored(node) == []

    asyncio.run(main())


def test_a_type_that_is_not_for_strangers_is_refused_to_them(tmp_path: Path) -> None:
    async def answer(source: Source, sender: Did, message: Message) -> Sequence[Reply]:
        return [Reply(NOTE)]

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            mail.intake.answer(NOTE, answer, strangers=False)
            data = packed(private(ANNA, node, NOTE, return_route="all"), node)
            assert await mail.intake.accept(HTTP, data) == REFUSED
            mail.intake.carriers.add(ANNAS_DID)  # a mediator of ours is as good as named here
            assert await mail.intake.accept(Source("http", "192.0.2.1", back=back), data) == ACCEPTED
            assert opened(back.sent.get_nowait()).type == NOTE

    asyncio.run(main())


# Ways back


def test_a_way_back_is_for_a_fresh_message_of_somebody_known_and_for_one_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            await name(node, ANNA)

            async def opens(**headers: Any) -> bool:
                back = FakeBack()
                message = private(ANNA, node, NOTE, **{"return_route": "all", **headers})
                await mail.intake.accept(Source("websocket", "192.0.2.1", back=back), packed(message, node))
                assert back.kept is (mail.live.of(ANNAS_DID, message.id) is back)
                return back.kept

            assert await opens(id="1")
            assert not await opens(id="1")  # played again by somebody else
            assert await opens(id="2", return_route="thread")
            assert not await opens(return_route="none")
            assert not await opens(return_route=None)
            assert not await opens(created_time=None)
            now_s = node.clock() // 1000
            assert not await opens(created_time=now_s - 1)  # made before this twin was started
            node.clock.advance(1000)
            assert not await opens(created_time=now_s)
            assert await opens(created_time=node.clock() // 1000 - limits.MAX_RETURN_ROUTE_AGE_S)

    asyncio.run(main())


def test_a_strangers_way_back_is_for_nothing_but_the_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            ping = private(ANNA, node, trust_ping.PING, return_route="all")
            await mail.intake.accept(Source("websocket", "192.0.2.1", back=back), packed(ping, node))
            assert not back.sent.empty()
            assert mail.live.of(ANNAS_DID) is None

    asyncio.run(main())


def test_what_waits_for_one_without_an_address_goes_over_its_way_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            await name(node, ANNA)
            async with running(mail.office.run()):
                sent = await mail.office.send(ANNAS_DID, basicmessage.MESSAGE, {"content": "hello"})
                await mail.attempted()
                nothing = private(ANNA, node, empty.EMPTY, body={}, return_route="all")
                source = Source("websocket", "192.0.2.1", back=back)
                assert await mail.intake.accept(source, packed(nothing, node)) == ACCEPTED
                brought = opened(await soon(back.sent.get()))
                assert (brought.id, brought.body) == (sent.id, {"content": "hello"})
                ack = private(ANNA, node, empty.EMPTY, body={}, ack=(sent.id,))
                assert await mail.intake.accept(source, packed(ack, node)) == ACCEPTED
                [row] = (await mail.office.outbox(9)).items
                assert (row.status, row.acked) == ("delivered", True)

    asyncio.run(main())


# Acknowledgements


def test_what_the_sender_wants_confirmed_is_confirmed_together_and_again_for_a_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            mail, other = Mail(a), Mail(b)
            confirmed: asyncio.Queue[Sequence[str]] = asyncio.Queue()

            async def acknowledge(sender: Did, ids: Sequence[str]) -> None:
                assert sender == a.did
                confirmed.put_nowait(ids)

            await a.name(b)
            await b.dial(a)
            async with running(mail.office.run(), other.office.run()):
                monkeypatch.setattr(other.delivery, "acknowledge", acknowledge)
                first = private(b, a, NOTE, please_ack=("",))
                second = private(b, a, NOTE, please_ack=("", first.id, "never seen"))
                for message in (first, second):
                    assert await mail.intake.accept(HTTP, packed(message, a, b.keys)) == ACCEPTED
                assert await soon(confirmed.get()) == (first.id, second.id)
                assert await mail.intake.accept(HTTP, packed(first, a, b.keys)) == ACCEPTED
                assert await soon(confirmed.get()) == (first.id,)

    asyncio.run(main())


def test_an_ack_counts_only_for_messages_to_its_sender(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, bert = Mail(node), new_keys()
            sent = await mail.office.send(ANNAS_DID, NOTE, {})

            async def ack(keys: KeyPair) -> str:
                message = private(keys, node, empty.EMPTY, body={}, ack=(sent.id, "unknown"))
                assert await mail.intake.accept(HTTP, packed(message, node, keys)) == ACCEPTED
                row = await node.database.read(lambda conn: outbox.get_outbound(conn, sent.id))
                assert row is not None
                return row.status

            assert [await ack(bert), await ack(ANNA)] == ["queued", "delivered"]

    asyncio.run(main())


# A sender's former name


def test_a_former_name_is_told_on_and_a_false_one_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, old, told = Mail(node), new_keys(), []

            async def on_prior(sender: Did, prior: FromPrior) -> None:
                told.append((sender, prior.old_did))

            mail.intake.on_prior = on_prior
            now_s = node.clock() // 1000

            async def send(new_did: Did, by: KeyPair = old) -> bytes:
                jwt = make_from_prior(old=author_of(by), new_did=new_did, iat=now_s)
                return await mail.intake.accept(HTTP, packed(private(ANNA, node, NOTE, from_prior=jwt), node))

            assert await send(ANNAS_DID) == ACCEPTED
            assert await send(did_key(new_keys().public)) == REFUSED  # about somebody else
            forged = make_from_prior(old=author_of(old), new_did=ANNAS_DID, iat=now_s)[:-8] + "AAAAAAAA"
            assert await mail.intake.accept(HTTP, packed(private(ANNA, node, NOTE, from_prior=forged), node)) == REFUSED
            assert told == [(ANNAS_DID, did_key(old.public))]

    asyncio.run(main())


# Exchanges


def test_an_answer_counts_from_whom_was_asked_and_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, mallory = Mail(node), new_keys()
            asked: asyncio.Queue[Message] = asyncio.Queue()

            async def send_now(to: Did, message: Message) -> str:
                asked.put_nowait(message)
                return "test"

            mail.exchange._send_now = send_now
            waiting = asyncio.create_task(mail.exchange.ask(ANNAS_DID, NOTE, {"n": 1}, timeout_s=20))
            question = await soon(asked.get())
            assert (question.return_route, question.to) == ("all", (ANNAS_DID,))
            assert question.expires_time is not None
            for keys, answer in ((mallory, "forged"), (ANNA, "true"), (ANNA, "late")):
                message = private(keys, node, NOTE, thid=question.id, body={"answer": answer})
                assert await mail.intake.accept(HTTP, packed(message, node, keys)) == ACCEPTED
            assert (await soon(waiting)).body == {"answer": "true"}
            texts = {row.from_did: row.plaintext for row in await stored(node)}
            assert b"forged" in texts[did_key(mallory.public)]
            assert b"late" in texts[ANNAS_DID]

    asyncio.run(main())


def test_a_problem_under_the_thread_is_an_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)

            async def send_now(to: Did, message: Message) -> str:
                report = problem_report.report(problem_report.UNSUPPORTED, pthid=message.id)
                answer = private(ANNA, node, report.type, body=report.body, pthid=message.id)
                assert await mail.intake.accept(HTTP, packed(answer, node)) == ACCEPTED
                return "test"

            mail.exchange._send_now = send_now
            reply = await soon(mail.exchange.ask(ANNAS_DID, NOTE, {}, timeout_s=20))
            assert reply.type == problem_report.PROBLEM

    asyncio.run(main())


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)

            async def send_now(to: Did, message: Message) -> str:
                return "nowhere"

            mail.exchange._send_now = send_now
            with pytest.raises(MessageTimeout):
                await mail.exchange.ask(ANNAS_DID, NOTE, {}, timeout_s=0.01)
            assert mail.threads._waiting == {}

    asyncio.run(main())


# Mediators


def test_a_mediator_brings_a_lot_and_a_strangers_excess_is_not_left_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, source = Mail(node), Source("mediator", "did:key:zMediator")
            share = limits.MAX_STRANGER_REQUESTS
            answers = [await mail.intake.accept(source, packed(private(ANNA, node), node)) for _ in range(share + 1)]
            assert answers == [ACCEPTED] * share + [REFUSED]
            assert [row.via for row in await stored(node)] == ["mediator"] * share
            assert await mail.intake.accept(HTTP, packed(private(ANNA, node), node)) == TRY_LATER
            await name(node, ANNA)
            for _ in range(limits.DIDCOMM_STRANGER_BURST + 1):
                assert await mail.intake.accept(source, packed(private(ANNA, node), node)) == ACCEPTED

    asyncio.run(main())


# Types that nobody knows


def test_a_named_twin_is_told_once_that_nobody_here_knows_its_message(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            mail, other = Mail(a), Mail(b)
            await a.name(b)
            await b.name(a)
            await a.dial(b)
            async with running(mail.office.run(), other.office.run()):
                sent = await mail.office.send(b.did, NOTE, {})
                known = await mail.office.send(b.did, basicmessage.MESSAGE, {"content": "hello"})
                assert await mail.office.wait_delivered(known.id, 20) == "delivered"
                while not await stored(a):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                while any(row.status == "received" for row in [*await stored(a), *await stored(b)]):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            [report] = await stored(a)
            assert (report.type, report.from_did) == (problem_report.PROBLEM, b.did)
            assert f'"pthid":"{sent.id}"'.encode() in report.plaintext
            assert problem_report.UNSUPPORTED.encode() in report.plaintext
            assert len((await other.office.outbox(9)).items) == 1  # nothing about the basic message
            assert len((await mail.office.outbox(9)).items) == 2  # and no report about the report

    asyncio.run(main())


def test_reports_about_unknown_messages_are_few(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            await name(node, ANNA)
            async with running(mail.office.run()):
                for _ in range(limits.PROBLEM_REPORTS_BURST + 5):
                    await mail.intake.accept(HTTP, packed(private(ANNA, node, NOTE), node))
                while any(row.status == "received" for row in await stored(node)):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert len((await mail.office.outbox(99)).items) == limits.PROBLEM_REPORTS_BURST

    asyncio.run(main())


def test_an_answer_in_a_thread_of_ours_is_no_unknown_message(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            mail, other = Mail(a), Mail(b)

            async def answers(sender: Did, message: Message) -> Sequence[Reply]:
                return [Reply("https://test.example/1.0/answer")]

            other.office.handle(NOTE, answers)
            await a.name(b)
            await b.name(a)
            await a.dial(b)
            async with running(mail.office.run(), other.office.run()):
                await mail.office.request(b.did, NOTE, {}, timeout_s=20)
                while [row.status for row in await stored(a)] != ["handled"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert len((await mail.office.outbox(9)).items) == 1

    asyncio.run(main())
