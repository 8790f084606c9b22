import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did
from node.errors import MessageTimeout, NotNamed, OwnDid
from node.messaging.post_office import HANDLED_AT_ONCE
from protocols.conversations.reply import Reply
from protocols.message import Message
from storage import mailbox
from storage.mailbox import InboxRow
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, Mail, Node, new_did, open_node, running, soon, watching

ASK, ANSWER, NEWS = (f"https://test.example/1.0/{name}" for name in ("ask", "answer", "news"))


@contextlib.asynccontextmanager
async def open_mail(swarm: FakeSwarm, home: Path, **options: Any) -> AsyncIterator[Mail]:
    """A post office that does not run yet: the test sets its handlers first."""
    async with open_node(swarm, home, **options) as node:
        yield Mail(node)


@contextlib.asynccontextmanager
async def open_two(path: Path) -> AsyncIterator[tuple[Mail, Mail]]:
    """Two that name each other and are connected."""
    swarm = FakeSwarm()
    async with open_mail(swarm, path / "a") as a, open_mail(swarm, path / "b") as b:
        await a.node.name(b.node)
        await b.node.name(a.node)
        await a.node.dial(b.node)
        yield a, b


async def received(node: Node) -> dict[str, str]:
    rows = (await node.database.read(lambda conn: mailbox.inbox(conn, limit=100))).items
    return {row.message_id: row.status for row in rows}


async def until_status(mail: Mail, message_id: str, status: str) -> InboxRow:
    """Wait until a received message has this status: its handler's transaction is the last write that it causes."""
    async with asyncio.timeout(20):
        while True:
            rows = (await mail.office.inbox(100)).items
            for row in rows:
                if row.message_id == message_id and row.status == status:
                    return row
            await asyncio.sleep(0.005)


async def answers(sender: Did, message: Message) -> Sequence[Reply]:
    return [Reply(ANSWER, {"answer": message.body["question"]})]


def test_a_request_gets_the_reply_of_its_thread(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            b.office.handle(ASK, answers)
            async with running(a.office.run(), b.office.run()):
                replies = await asyncio.gather(
                    *(a.office.request(b.node.did, ASK, {"question": n}, timeout_s=20) for n in range(10))
                )
                assert [reply.body["answer"] for reply in replies] == list(range(10))
                assert {reply.from_ for reply in replies} == {b.node.did}

    asyncio.run(main())


def test_a_reply_counts_only_from_the_twin_that_was_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            asked: asyncio.Queue[Message] = asyncio.Queue()

            async def keeps_silent(sender: Did, message: Message) -> Sequence[Reply]:
                asked.put_nowait(message)
                return ()

            b.office.handle(ASK, keeps_silent)
            async with open_mail(a.node.network._swarm, tmp_path / "mallory") as mallory:
                await a.node.name(b.node, mallory.node)  # even a twin that is named
                await mallory.node.dial(a.node)
                async with running(a.office.run(), b.office.run(), mallory.office.run()):
                    request = asyncio.create_task(a.office.request(b.node.did, ASK, {"question": 1}, timeout_s=20))
                    thread = (await soon(asked.get())).thread
                    forged = await mallory.office.send(a.node.did, ANSWER, {"answer": "forged"}, thid=thread)
                    await until_status(a, forged.id, "handled")
                    assert not request.done()
                    other = await b.office.send(a.node.did, ANSWER, {"answer": "other thread"}, thid="another")
                    await until_status(a, other.id, "handled")
                    assert not request.done()
                    await b.office.send(a.node.did, ANSWER, {"answer": "true"}, thid=thread)
                    assert (await soon(asyncio.wait_for(request, 20))).body == {"answer": "true"}

    asyncio.run(main())


def test_no_reply_in_time_is_an_error_and_the_request_stays_queued(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(FakeSwarm(), tmp_path / "a") as a, running(a.office.run()):
            with pytest.raises(MessageTimeout):
                await a.office.request(new_did(), ASK, {}, timeout_s=0.01)
            assert [row.status for row in (await a.office.outbox(9)).items] == ["queued"]
            assert a.office._threads._waiting == {}

    asyncio.run(main())


def test_a_reply_does_not_wait_behind_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            release = asyncio.Event()
            working = asyncio.Semaphore(0)

            async def slow(sender: Did, message: Message) -> Sequence[Reply]:
                working.release()
                await release.wait()
                return ()

            a.office.handle(NEWS, slow)
            b.office.handle(ASK, answers)
            async with running(a.office.run(), b.office.run()):
                sent = [await b.office.send(a.node.did, NEWS, {}) for _ in range(HANDLED_AT_ONCE + 3)]
                for _ in range(HANDLED_AT_ONCE):
                    await soon(working.acquire())
                reply = await a.office.request(b.node.did, ASK, {"question": 1}, timeout_s=20)
                assert reply.body == {"answer": 1}
                assert working.locked()  # no more of them at once
                release.set()
                for message in sent:
                    await until_status(a, message.id, "handled")

    asyncio.run(main())


def test_one_that_asks_a_lot_does_not_keep_another_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_mail(swarm, tmp_path / "a") as a,
            open_mail(swarm, tmp_path / "b") as b,
            open_mail(swarm, tmp_path / "c") as c,
        ):
            await a.node.name(b.node, c.node)
            for other in (b, c):
                await other.node.name(a.node)
                await other.node.dial(a.node)
            order: list[Did] = []
            turns = asyncio.Semaphore(0)

            async def slow(sender: Did, message: Message) -> Sequence[Reply]:
                await turns.acquire()
                order.append(sender)
                return ()

            a.office.handle(ASK, slow)
            async with running(a.office.run(), b.office.run(), c.office.run()):
                flood = [await b.office.send(a.node.did, ASK, {}) for _ in range(3 * HANDLED_AT_ONCE)]
                for message in flood:
                    assert await b.office.wait_delivered(message.id, 20) == "delivered"
                question = await c.office.send(a.node.did, ASK, {})
                assert await c.office.wait_delivered(question.id, 20) == "delivered"
                turns.release()
                for _ in flood:
                    turns.release()
                await until_status(a, flood[-1].id, "handled")
            assert order.index(c.node.did) < 2 * HANDLED_AT_ONCE < len(flood)

    asyncio.run(main())


class Defect(Exception):
    """Nothing that the post office could know."""


async def raises_refusal(sender: Did, message: Message) -> Sequence[Reply]:
    raise NotNamed("no")


async def raises_defect(sender: Did, message: Message) -> Sequence[Reply]:
    raise Defect("oops")


async def replies_too_much(sender: Did, message: Message) -> Sequence[Reply]:
    return [Reply(ANSWER, {"answer": "x" * 2**20})]


async def replies_nonsense(sender: Did, message: Message) -> Sequence[Reply]:
    return [Reply(ANSWER, {"answer": object()})]


@pytest.mark.parametrize("handler", [raises_refusal, raises_defect, replies_too_much, replies_nonsense])
def test_a_handler_that_fails_has_refused_its_message_and_stops_nothing(
    tmp_path: Path, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            b.office.handle(NEWS, handler)
            b.office.handle(ASK, answers)
            async with running(a.office.run(), b.office.run()):
                sent = await a.office.send(b.node.did, NEWS, {"secret": "tulip"})
                await until_status(b, sent.id, "refused")
                assert (await a.office.request(b.node.did, ASK, {"question": 1}, timeout_s=20)).body == {"answer": 1}
            assert (await b.node.database.read(lambda conn: mailbox.unhandled(conn, 9))) == []

    asyncio.run(main())
    records = [record for record in caplog.records if record.name == "node.messaging.post_office"]
    assert len(records) == 1
    assert NEWS in records[0].getMessage()
    assert "tulip" not in caplog.text
    if handler is raises_defect:
        assert "Defect" in caplog.text


def test_a_type_that_nobody_handles_is_kept_and_is_no_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b), running_both(a, b):
            sent = await a.office.send(b.node.did, "https://test.example/9.9/unknown", {"a": 1})
            assert await a.office.wait_delivered(sent.id, 20) == "delivered"
            row = await until_status(b, sent.id, "handled")
            assert (row.from_did, row.to_did) == (a.node.did, b.node.did)

    asyncio.run(main())


def running_both(a: Mail, b: Mail) -> contextlib.AbstractAsyncContextManager[None]:
    return running(a.office.run(), b.office.run())


def test_a_stranger_is_not_acted_for_until_the_owner_names_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            handled: list[Did] = []

            async def notes(sender: Did, message: Message) -> Sequence[Reply]:
                handled.append(sender)
                return ()

            b.office.handle(NEWS, notes)
            await b.node.name()
            async with running_both(a, b):
                sent = await a.office.send(b.node.did, NEWS, {})
                assert await a.office.wait_delivered(sent.id, 20) == "delivered"
                assert await received(b.node) == {sent.id: "request"}
                await b.node.name(a.node, block=[a.node])  # named and blocked is blocked
                assert await received(b.node) == {sent.id: "request"}
                assert handled == []
                await b.node.name(a.node)
                await until_status(b, sent.id, "handled")
                assert handled == [a.node.did]

    asyncio.run(main())


def test_one_that_is_named_no_longer_is_not_acted_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            b.office.handle(NEWS, raises_defect)
            async with running(a.office.run()):
                async with running(b.delivery.run()):
                    await b.node.network.serve(
                        "/pagi/didcomm/2.1", b.office._take, max_request_bytes=2**20, max_in_flight_per_peer=9
                    )
                    sent = await a.office.send(b.node.did, NEWS, {})
                    assert await a.office.wait_delivered(sent.id, 20) == "delivered"
                assert await received(b.node) == {sent.id: "received"}
                await b.node.name()
                async with running(b.office.run()):
                    await until_status(b, sent.id, "refused")

    asyncio.run(main())


def test_after_a_crash_the_work_is_done_again_and_its_reply_sent_once(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, clock = FakeSwarm(), Clock()
        async with open_mail(swarm, tmp_path / "a", clock=clock) as a:
            started = asyncio.Event()

            async def never_ends(sender: Did, message: Message) -> Sequence[Reply]:
                started.set()
                await asyncio.Event().wait()
                return ()

            async with running(a.office.run()):
                async with open_mail(swarm, tmp_path / "b", clock=clock) as b:
                    keys = b.node.keys
                    await a.node.name(b.node)
                    await b.node.name(a.node)
                    await a.node.dial(b.node)
                    b.office.handle(ASK, never_ends)
                    async with running(b.office.run()):
                        sent = await a.office.send(b.node.did, ASK, {"question": 1})
                        assert await a.office.wait_delivered(sent.id, 20) == "delivered"
                        await soon(started.wait())
                async with (
                    open_mail(swarm, tmp_path / "b", clock=clock, keys=keys) as b,
                    watching(a.node) as watch,
                ):
                    b.office.handle(ASK, answers)
                    await a.node.dial(b.node)
                    async with running(b.office.run()):
                        await watch.until("didcomm_received", lambda event: event.payload["thid"] == sent.id)
                        await until_status(b, sent.id, "handled")
                        replies = [row for row in (await a.office.inbox(9)).items if row.thid == sent.id]
                        assert len(replies) == 1

    asyncio.run(main())


def test_requests_of_those_named_just_before_a_crash_are_work_at_the_next_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_two(tmp_path) as (a, b):
            b.office.handle(NEWS, raises_refusal)
            did = a.node.did
            await b.node.database.write(
                lambda conn: mailbox.put_inbound(
                    conn, message_id="1", from_did=did, to_did=b.node.did, type=NEWS, thid="1",
                    plaintext=Message(id="1", type=NEWS).to_bytes(), created_time=None, received_ms=1, status="request",
                )
            )  # fmt: skip
            async with running(b.office.run()):
                await until_status(b, "1", "refused")

    asyncio.run(main())


def test_a_twin_does_not_write_to_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mail(FakeSwarm(), tmp_path / "a") as a:
            with pytest.raises(OwnDid):
                await a.office.send(a.node.did, NEWS, {})
            with pytest.raises(OwnDid):
                await a.office.request(a.node.did, NEWS, {}, timeout_s=1)
            assert (await a.office.outbox(9)).items == ()

    asyncio.run(main())
