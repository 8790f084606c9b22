import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import Did, PeerId
from node.config import MailConfig
from node.messaging.delivery import LOOK_EVERY_S
from node.messaging.source import ACCEPTED, PROTOCOL, REFUSED, TRY_LATER
from protocols.didcomm.envelope import unpack
from storage import outbox
from storage.outbox import OutboxRow
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, Mail, Node, new_did, open_node, running, soon

HELLO = "https://test.example/1.0/hello"


class Recipient:
    """A twin that answers packed messages by a script, then with ACCEPTED; `taken` are the ids that it accepted."""

    def __init__(self, node: Node, script: Sequence[bytes] = ()) -> None:
        self.node = node
        self.did = node.did
        self.taken: list[str] = []
        self.offered: list[str] = []
        self._script = list(script)

    async def serve(self) -> None:
        await self.node.network.serve(PROTOCOL, self._accept, max_request_bytes=2**20, max_in_flight_per_peer=64)

    async def _accept(self, peer: PeerId, packed: bytes) -> bytes:
        message = unpack(packed, keys=(self.node.keys,)).message
        self.offered.append(message.id)
        answer = self._script.pop(0) if self._script else ACCEPTED
        if answer == b"error":
            raise ValueError("reset")
        if answer == ACCEPTED:
            self.taken.append(message.id)
        return answer


class Pair:
    """A sender with its delivery running, and a recipient that it is not connected to yet."""

    def __init__(self, mail: Mail, recipient: Recipient) -> None:
        self.mail = mail
        self.recipient = recipient
        self.clock: Clock = mail.node.clock
        self.queued: list[str] = []

    async def queue(self, thid: str | None = None) -> str:
        sent = await self.mail.office.send(self.recipient.did, HELLO, {}, thid=thid)
        self.queued.append(sent.id)
        return sent.id

    async def connect(self) -> None:
        await self.mail.node.dial(self.recipient.node)

    async def row(self, message_id: str) -> OutboxRow:
        row = await self.mail.node.database.read(lambda conn: outbox.get_outbound(conn, message_id))
        assert row is not None
        return row

    async def settled(self) -> list[str]:
        return [await self.mail.delivery.wait_settled(message_id, 20) for message_id in self.queued]

    async def later(self, seconds: float) -> None:
        """Time passes, and the outbox is looked at."""
        self.clock.advance(seconds)
        self.mail.delivery.wake()
        await soon(self.mail.delivery.idle())


@contextlib.asynccontextmanager
async def open_pair(path: Path, *script: bytes, config: MailConfig | None = None) -> AsyncIterator[Pair]:
    swarm = FakeSwarm()
    async with open_node(swarm, path / "sender") as sender, open_node(swarm, path / "recipient") as other:
        mail, recipient = Mail(sender, config), Recipient(other, script)
        await recipient.serve()
        async with running(mail.delivery.run()):
            await soon(mail.delivery.idle())
            yield Pair(mail, recipient)


def test_a_message_is_delivered_once_and_that_is_in_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            await pair.connect()
            message_id = await pair.queue()
            assert await pair.settled() == ["delivered"]
            await pair.later(3600)
            assert pair.recipient.offered == [message_id]
            log = (await pair.mail.node.events.log()).items
            assert [(entry.event_type, entry.subject) for entry in log] == [("didcomm_delivered", message_id)]

    asyncio.run(main())


def test_one_that_cannot_be_reached_costs_one_attempt_for_all_its_mail_and_rest_in_between(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path, config=MailConfig(retry_first_s=2, retry_most_s=8)) as pair:
            first = await pair.queue()
            assert await pair.mail.attempted() == pair.recipient.did
            for _ in range(100):
                await pair.queue()
            attempts = [pair.mail.looked_up]
            await soon(pair.mail.delivery.idle())
            row = await pair.row(first)
            assert row.attempts >= 2
            assert "not connected" in (row.last_error or "")
            due = {(await pair.row(message_id)).next_attempt_ms for message_id in pair.queued}
            assert len(due) == 1  # all of them wait for the same attempt
            while not pair.mail.looked_up.empty():
                pair.mail.looked_up.get_nowait()
            for _ in range(20):
                pair.mail.delivery.wake()
                await soon(pair.mail.delivery.idle())
            assert attempts[0].empty()  # woken without a reason, it tries nothing
            assert pair.mail.delivery.pauses[-1] >= 1.4
            await pair.later(8 * 1.26)
            assert pair.mail.looked_up.qsize() == 1
            assert (await pair.row(first)).attempts == row.attempts + 1

    asyncio.run(main())


def test_while_a_worker_dials_the_loop_rests(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            dialling = asyncio.Event()

            async def hangs(did: Did) -> Sequence[str]:
                dialling.set()
                await asyncio.Event().wait()
                return ()

            pair.mail.find = hangs
            await pair.queue()
            await soon(dialling.wait())
            for _ in range(10):
                await asyncio.sleep(0.01)  # the loop gets every chance to look again
            assert pair.mail.delivery.pauses[-1] == LOOK_EVERY_S
            assert len(pair.mail.delivery.pauses) <= 3

    asyncio.run(main())


def test_one_that_connects_is_tried_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            message_id = await pair.queue()
            await pair.mail.attempted()
            await pair.recipient.node.dial(pair.mail.node)
            assert await pair.settled() == ["delivered"]  # although the clock stands still
            assert pair.recipient.taken == [message_id]

    asyncio.run(main())


def test_one_that_connects_while_an_attempt_fails_is_not_put_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:

            async def connects_meanwhile(did: Did) -> Sequence[str]:
                await pair.recipient.node.dial(pair.mail.node)
                await pair.mail.node.database.write(lambda conn: None)
                return ("/memory/nobody/p2p/nobody",)

            pair.mail.find = connects_meanwhile
            await pair.queue()
            assert await pair.settled() == ["delivered"]

    asyncio.run(main())


def test_an_address_that_is_known_is_dialled(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            pair.mail.addresses[pair.recipient.did] = pair.recipient.node.network.addresses()
            await pair.queue()
            assert await pair.settled() == ["delivered"]

    asyncio.run(main())


def test_what_cannot_be_delivered_fails_at_its_end_and_not_before(tmp_path: Path) -> None:
    async def main() -> None:
        config = MailConfig(retry_first_s=100, retry_most_s=100, expire_after_s=150)
        async with open_pair(tmp_path, config=config) as pair:
            message_id = await pair.queue()
            await pair.queue(thid=message_id)
            await pair.mail.attempted()
            waiting = asyncio.create_task(pair.settled())
            await pair.later(149)
            assert (await pair.row(message_id)).status == "queued"
            assert pair.mail.delivery.pauses[-1] <= 1  # it will be there when the message ends
            await pair.later(1)
            assert await waiting == ["failed", "failed"]
            assert "expired" in ((await pair.row(message_id)).last_error or "")
            await pair.connect()
            await soon(pair.mail.delivery.idle())
            assert pair.recipient.offered == []

    asyncio.run(main())


def test_a_refused_message_fails_and_the_next_of_its_thread_is_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path, REFUSED) as pair:
            first = await pair.queue()
            second = await pair.queue(thid=first)
            await pair.connect()
            assert await pair.settled() == ["failed", "delivered"]
            assert (await pair.row(first)).last_error == "the recipient refused it"
            assert pair.recipient.taken == [second]

    asyncio.run(main())


@pytest.mark.parametrize("answer", [TRY_LATER, b"", b"\x07", b"error"])
def test_what_follows_a_message_that_is_repeated_waits_for_it(tmp_path: Path, answer: bytes) -> None:
    async def main() -> None:
        async with open_pair(tmp_path, answer) as pair:
            await pair.connect()
            first = await pair.queue()
            second = await pair.queue(thid=first)
            await soon(pair.mail.delivery.idle())
            assert pair.recipient.offered == [first]
            assert ((await pair.row(first)).attempts, (await pair.row(second)).attempts) == (1, 0)
            other = await pair.queue()
            await soon(pair.mail.delivery.idle())
            assert pair.recipient.taken == [other]
            await pair.later(60)
            assert await pair.settled() == ["delivered"] * 3
            assert pair.recipient.taken == [other, first, second]

    asyncio.run(main())


def test_a_row_that_cannot_be_packed_fails_and_holds_up_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            did, now = pair.recipient.did, pair.clock()
            await pair.mail.node.database.write(
                lambda conn: outbox.queue_outbound(
                    conn, message_id="bad", to_did=did, type=HELLO, thid=None, plaintext=b"{",
                    created_ms=now, expires_ms=None,
                )
            )  # fmt: skip
            pair.queued.append("bad")
            await pair.queue(thid="bad")
            await pair.connect()
            assert await pair.settled() == ["failed", "delivered"]

    asyncio.run(main())


def test_everyone_who_waits_for_a_message_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            message_id = await pair.queue()
            await pair.mail.attempted()
            others = [asyncio.create_task(pair.mail.delivery.wait_settled(message_id, 20)) for _ in range(2)]
            assert await pair.mail.delivery.wait_settled(message_id, 0.001) == "queued"  # gives up before the others
            await pair.connect()
            assert [await other for other in others] == ["delivered", "delivered"]
            assert await pair.mail.delivery.wait_settled(message_id, 0.001) == "delivered"
            assert pair.mail.delivery._waiting == {}

    asyncio.run(main())


def test_mail_for_many_does_not_wait_for_one_that_hangs(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            nobody = new_did()
            hung = asyncio.Event()

            async def addresses_of(did: Did) -> Sequence[str]:
                if did == nobody:
                    hung.set()
                    await asyncio.Event().wait()
                return pair.recipient.node.network.addresses()

            pair.mail.find = addresses_of
            await pair.mail.office.send(nobody, HELLO, {})
            await soon(hung.wait())
            await pair.queue()
            assert await pair.settled() == ["delivered"]

    asyncio.run(main())


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    threads=st.lists(st.sampled_from("abc"), min_size=2, max_size=8),
    script=st.lists(st.sampled_from([ACCEPTED, ACCEPTED, TRY_LATER, REFUSED, b"error"]), max_size=12),
)
def test_whatever_the_recipient_answers_each_thread_keeps_its_order(threads: list[str], script: list[bytes]) -> None:
    async def main(path: Path) -> None:
        async with open_pair(path, *script) as pair:
            in_order: dict[str, list[str]] = defaultdict(list)
            for thread in threads:
                in_order[thread].append(await pair.queue(thid=thread))
            await pair.connect()
            await soon(pair.mail.delivery.idle())
            while {(await pair.row(message_id)).status for message_id in pair.queued} - {"delivered", "failed"}:
                await pair.later(120)
            assert len(set(pair.recipient.taken)) == len(pair.recipient.taken)
            for messages in in_order.values():
                taken = [message_id for message_id in pair.recipient.taken if message_id in messages]
                delivered = [m for m in messages if (await pair.row(m)).status == "delivered"]
                assert taken == delivered

    with TemporaryDirectory() as path:
        asyncio.run(main(Path(path)))
