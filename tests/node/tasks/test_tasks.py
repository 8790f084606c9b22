"""The contract net between twins: bids, the award, the work, the receipt; and what goes wrong on the way."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from identity.cid import Cid
from identity.did import Did
from node.errors import TaskUnknown, TaskUnrateable
from node.reputation.standing import Standing
from node.tasks.requester import BIDS_FOR_S, HONEST_FAILURE, UNRATED
from protocols.conversations import contract_net
from protocols.conversations.contract_net import Award
from protocols.conversations.receipt import Receipt
from protocols.task import Answer
from storage import mailbox
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, new_keys, soon, watching
from tests.node.tasks.assembly import Hand, open_hand, open_hands


async def _when(found: Callable[[], object]) -> None:
    while not found():  # noqa: ASYNC110 - rows tell nobody that they changed
        await asyncio.sleep(0.001)


async def _choose(giver: Hand, task_id: str, bids: int, clock: Clock) -> None:
    """Wait for the bids, then let the time for bidding pass."""
    while len((await giver.tasks.get(task_id))[1]) < bids:  # noqa: ASYNC110 - rows tell nobody that they changed
        await asyncio.sleep(0.001)
    clock.advance(BIDS_FOR_S)
    giver.tasks._changed.set()


async def _retried(giver: Hand, task_id: str, worker: Hand, clock: Clock) -> None:
    """Let the worker's pauses pass until its result is there: it may call before the giver takes messages."""
    while (await giver.task(task_id)).status != "done":
        clock.advance(1)
        worker.mail.delivery.wake()
        await asyncio.sleep(0.01)


async def _status(hand: Hand, task_id: str, *wanted: str) -> str:
    while (row := await hand.task(task_id)).status not in wanted:  # noqa: ASYNC110 - rows tell nobody that they changed
        await asyncio.sleep(0.001)
    return row.status


def test_the_surest_bidder_does_it_and_gets_a_receipt(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.4, 0.9, clock=clock) as (giver, unsure, sure):
            row = await giver.tasks.post("count the tides")
            await soon(_choose(giver, row.id, 2, clock))
            assert await soon(_status(giver, row.id, "done")) == "done"
            done = await giver.task(row.id)
            assert done.worker == sure.node.did
            assert done.result is not None
            assert orjson.loads(done.result)["answer"] == "done: count the tides"
            assert await soon(_status(unsure, row.id, "lost")) == "lost"
            assert sure.worked == ["count the tides"]
            assert unsure.worked == []
            while (held := await sure.task(row.id)).receipt is None:  # noqa: ASYNC110 - rows tell nobody that they changed
                await asyncio.sleep(0.001)
            receipt = Receipt.from_json(orjson.loads(held.receipt))
            assert (receipt.worker, receipt.requester, receipt.outcome, receipt.quality) == (
                sure.node.did,
                giver.node.did,
                "result",
                UNRATED,
            )
            assert held.receipt_cid == str(receipt.cid)
            assert sure.node.blocks.get(Cid.parse(held.receipt_cid)) == receipt.block
            (term,) = (await giver.reputation.of(sure.node.did)).terms
            assert (term.source, term.good, term.bad) == ("receipt", UNRATED, 0.0)
            assert (await giver.reputation.of(unsure.node.did)).score == 0.0

    asyncio.run(main())


def test_a_rating_replaces_the_receipt_and_what_it_counts_for(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, clock=clock) as (giver, worker):
            row = await giver.tasks.post("count the tides")
            with pytest.raises(TaskUnrateable):
                await giver.tasks.rate(row.id, 1.0)
            await soon(_choose(giver, row.id, 1, clock))
            await soon(_status(giver, row.id, "done"))
            await soon(_status(worker, row.id, "done"))
            rated = await giver.tasks.rate(row.id, 0.9)
            while (await worker.task(row.id)).receipt_cid != rated.receipt_cid:  # noqa: ASYNC110 - rows tell nobody that they changed
                await asyncio.sleep(0.001)
            (term,) = (await giver.reputation.of(worker.node.did)).terms
            assert (term.good, term.bad) == (0.9, pytest.approx(0.1))
            with pytest.raises(TaskUnrateable):
                await worker.tasks.rate(row.id, 1.0)  # nobody rates their own work

    asyncio.run(main())


def test_nobody_can_do_it(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.0, clock=clock) as (giver, other):
            row = await giver.tasks.post("count the tides", deadline_s=60)
            await soon(_when(lambda: other.worker.counters["tasks_beyond_us"] == 1))
            clock.advance(61)
            giver.tasks._changed.set()
            assert await soon(_status(giver, row.id, "expired")) == "expired"
            with pytest.raises(TaskUnknown):
                await other.tasks.get(row.id)

    asyncio.run(main())


def test_what_it_cannot_do_is_a_failure_that_counts_half(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, clock=clock) as (giver, worker):
            worker.says = lambda task: ""
            row = await giver.tasks.post("count the tides")
            await soon(_choose(giver, row.id, 1, clock))
            assert await soon(_status(giver, row.id, "failed")) == "failed"
            (term,) = (await giver.reputation.of(worker.node.did)).terms
            assert (term.good, term.bad) == (0.0, HONEST_FAILURE)
            assert await soon(_status(worker, row.id, "failed")) == "failed"

    asyncio.run(main())


def test_a_worker_that_says_nothing_has_failed_at_the_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, clock=clock) as (giver, worker):
            forever = asyncio.Event()

            async def never(task: str) -> object:
                await forever.wait()
                raise AssertionError

            worker.answer = never  # type: ignore[assignment,method-assign]
            row = await giver.tasks.post("count the tides", deadline_s=60)
            await soon(_choose(giver, row.id, 1, clock))
            await soon(_status(worker, row.id, "working"))
            clock.advance(61)
            giver.tasks._changed.set()
            assert await soon(_status(giver, row.id, "failed")) == "failed"
            (term,) = (await giver.reputation.of(worker.node.did)).terms
            assert term.bad == 1.0

    asyncio.run(main())


def test_an_award_that_comes_twice_is_worked_on_once(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, clock=clock) as (giver, worker):
            row = await giver.tasks.post("count the tides")
            await soon(_choose(giver, row.id, 1, clock))
            await soon(_status(giver, row.id, "done"))
            await soon(_status(worker, row.id, "done"))
            async with watching(giver.node) as watch:
                await giver.mail.office.send(worker.node.did, contract_net.AWARD, Award(row.id).to_body(), thid=row.id)
                again = await watch.until(
                    "didcomm_received", lambda event: event.payload["type"] == contract_net.RESULT
                )
            assert again.payload["from"] == worker.node.did
            assert worker.worked == ["count the tides"]
            (term,) = (await giver.reputation.of(worker.node.did)).terms
            assert term.good == UNRATED

    asyncio.run(main())


def test_a_strangers_task_makes_nobody_work_and_a_strangers_bid_is_not_taken(tmp_path: Path) -> None:
    async def main() -> None:
        clock, swarm = Clock(), FakeSwarm()
        async with (
            open_hand(swarm, tmp_path / "a", clock=clock) as giver,
            open_hand(swarm, tmp_path / "b", knows=1.0, clock=clock) as stranger,
        ):
            await stranger.node.dial(giver.node)
            async with watching(stranger.node) as watch:
                row = await giver.tasks.post("count the tides")
                await watch.until("task_broadcast")
            with pytest.raises(TaskUnknown):
                await stranger.tasks.get(row.id)
            body = contract_net.Bid(row.id, 1.0, 1).to_body()
            sent = await stranger.mail.office.send(giver.node.did, contract_net.BID, body, thid=row.id)
            assert await stranger.mail.office.wait_delivered(sent.id, 20) == "delivered"
            read = await giver.node.database.read(lambda conn: mailbox.get_inbound(conn, stranger.node.did, sent.id))
            assert read is not None
            assert read.status == "request"
            assert (await giver.tasks.get(row.id))[1] == []

    asyncio.run(main())


def test_a_receipt_that_another_signed_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, clock=clock) as (giver, worker):
            row = await giver.tasks.post("count the tides")
            await soon(_choose(giver, row.id, 1, clock))
            await soon(_status(worker, row.id, "done"))
            while (before := (await worker.task(row.id)).receipt) is None:  # noqa: ASYNC110 - rows tell nobody that they changed
                await asyncio.sleep(0.001)
            forged = Receipt.sign(
                task_id=row.id,
                requester=giver.node.did,
                worker=worker.node.did,
                outcome="result",
                quality=1.0,
                finished=1,
                sign=new_keys().sign,
            )
            body = {"task_id": row.id, "receipt": orjson.loads(forged.block)}
            sent = await giver.mail.office.send(worker.node.did, contract_net.RECEIPT, body, thid=row.id)
            await giver.mail.office.wait_delivered(sent.id, 20)

            def refused(conn: object) -> str | None:
                found = mailbox.get_inbound(conn, giver.node.did, sent.id)  # type: ignore[arg-type]
                return found.status if found else None

            while (status := await worker.node.database.read(refused)) == "received":  # noqa: ASYNC110 - rows tell nobody that they changed
                await asyncio.sleep(0.001)
            assert status == "refused"
            assert (await worker.task(row.id)).receipt == before

    asyncio.run(main())


def test_after_a_restart_a_task_that_was_awarded_is_awarded_again(tmp_path: Path) -> None:
    async def main() -> None:
        clock, swarm = Clock(), FakeSwarm()
        async with open_hand(swarm, tmp_path / "b", knows=0.9, clock=clock) as worker:
            forever = asyncio.Event()
            real = worker.answer

            async def waits(task: str) -> object:
                await forever.wait()
                return await real(task)

            worker.answer = waits  # type: ignore[assignment,method-assign]
            keys = new_keys()
            async with open_hand(swarm, tmp_path / "a", clock=clock, keys=keys) as giver:
                await giver.node.name(worker.node)
                await worker.node.name(giver.node)
                await worker.node.dial(giver.node)
                row = await giver.tasks.post("count the tides")
                await soon(_choose(giver, row.id, 1, clock))
                await soon(_status(worker, row.id, "working"))
            forever.set()
            async with open_hand(swarm, tmp_path / "a", clock=clock, keys=keys) as giver:
                await giver.node.dial(worker.node)
                await soon(_retried(giver, row.id, worker, clock))
                assert worker.worked == ["count the tides"]

    asyncio.run(main())


def test_a_bid_that_comes_while_another_is_chosen_is_told_so(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, 0.9, clock=clock) as (giver, early, late):
            choosing, chosen, may_bid = asyncio.Event(), asyncio.Event(), asyncio.Event()
            standing = giver.reputation.of

            async def slow(did: Did) -> Standing:
                choosing.set()
                await chosen.wait()
                return await standing(did)

            async def later(task: str) -> float:
                await may_bid.wait()
                return 0.9

            giver.reputation.of = slow  # type: ignore[method-assign]
            late.confidence = later  # type: ignore[method-assign]
            row = await giver.tasks.post("count the tides")
            await soon(_choose(giver, row.id, 1, clock))
            await soon(choosing.wait())
            async with watching(giver.node) as watch:
                may_bid.set()
                await watch.until("didcomm_received", lambda event: event.payload["from"] == late.node.did)
            chosen.set()
            assert await soon(_status(giver, row.id, "done")) == "done"
            assert await soon(_status(late, row.id, "lost")) == "lost"
            assert (await giver.task(row.id)).worker == early.node.did

    asyncio.run(main())


def test_work_for_an_award_that_was_taken_back_is_not_handed_in(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_hands(tmp_path, 0.0, 0.9, clock=clock) as (giver, worker):
            begun, done = asyncio.Event(), asyncio.Event()
            real = worker.answer

            async def slow(task: str) -> Answer:
                begun.set()
                await done.wait()
                return await real(task)

            worker.answer = slow  # type: ignore[method-assign]
            row = await giver.tasks.post("count the tides")
            await soon(_choose(giver, row.id, 1, clock))
            await soon(begun.wait())
            body = contract_net.Reject(row.id, "no longer needed").to_body()
            await giver.mail.office.send(worker.node.did, contract_net.REJECT, body)
            assert await soon(_status(worker, row.id, "lost")) == "lost"
            done.set()

            def unhandled(conn: sqlite3.Connection) -> int:
                return len(mailbox.unhandled(conn, 9))

            while await worker.node.database.read(unhandled):  # noqa: ASYNC110 - rows tell nobody that they changed
                await asyncio.sleep(0.001)
            assert worker.worked == ["count the tides"]
            assert (await worker.task(row.id)).result is None

    asyncio.run(main())
