"""Giving tasks: broadcast one, take bids for a while, award it, take the result, and sign a receipt for it.

Only twins that the owner named may bid: their result goes to the owner. Every step is on disk before its message goes
out; a message that comes twice, after a crash on either side, is answered as it was the first time.
"""

import asyncio
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import orjson

from identity.did import Did
from node.clock import NowMs, now_ms
from node.content.content import Content
from node.errors import TaskUnrateable
from node.events import Event, EventBus
from node.gossip import Gossip
from node.messaging.post_office import Handler, PostOffice
from node.reputation.reputation import Reputation
from node.tasks.choosing import best
from protocols.conversations import contract_net
from protocols.conversations.contract_net import Award, Contract, Failure, Progress, Reject, Result
from protocols.conversations.receipt import Outcome, Receipt
from protocols.conversations.reply import Reply
from protocols.errors import UnexpectedMessage
from protocols.message import Message
from protocols.swarm import TASK_BROADCAST, TOPIC, TaskBroadcast
from storage import tasks as rows
from storage.database import Database
from storage.pins import RECEIPT
from storage.tasks import ContractRow, TaskRow, TaskStatus

BIDS_FOR_S: Final = 3.0
"""How long bids are taken before the best one is chosen. Later, the first one is."""

UNRATED: Final = 0.5
"""The quality in the receipt of a result that nobody has judged yet: half a finished task."""

HONEST_FAILURE: Final = 0.5
"""What it counts against a worker to say that it cannot do what it bid for: half of saying nothing."""

DEFAULT_DEADLINE_S: Final = 600
MAX_DEADLINE_S: Final = 7 * 86_400
"""A broadcast is not handed on for longer (limits.REPLAY_WINDOW_S)."""

MAX_BIDS: Final = 64
"""Bids kept for one task."""


class Requester:
    """The tasks that this twin gave."""

    def __init__(
        self,
        *,
        own: Did,
        sign: Callable[[bytes], bytes],
        database: Database,
        gossip: Gossip,
        mail: PostOffice,
        reputation: Reputation,
        content: Content,
        events: EventBus,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._sign = sign
        self._database = database
        self._gossip = gossip
        self._mail = mail
        self._reputation = reputation
        self._content = content
        self._events = events
        self._now = now
        self._turn = asyncio.Lock()  # What one change reads of a task must still be so when it writes.
        self._changed = asyncio.Event()  # Set, and replaced, with each change of a task.
        self.on_change: Callable[[], None] = lambda: None
        self.check: Callable[[], None] = lambda: None
        """Called before a task is given; what it raises keeps it from being given."""
        mail.handle(contract_net.BID, self._in_turn(self._on_bid))
        mail.handle(contract_net.PROGRESS, self._in_turn(self._on_progress))
        mail.handle(contract_net.RESULT, self._in_turn(self._on_end))
        mail.handle(contract_net.FAILURE, self._in_turn(self._on_end))

    async def post(
        self,
        task: str,
        requirements: Sequence[str] = (),
        deadline_s: int = DEFAULT_DEADLINE_S,
        *,
        task_id: str | None = None,
    ) -> TaskRow:
        """Broadcast a task to the swarm, where everybody can read it; one whose id is here already is as it was.

        Raises LocalProtocolError if it is too long, and what `check` raises.
        """
        self.check()
        now = self._now()
        if task_id is not None:
            known = await self._database.read(lambda conn: rows.get_task(conn, self._own, task_id))
            if known is not None:
                return known
        row = TaskRow(
            id=task_id or str(uuid.uuid4()),
            requester=self._own,
            task=task,
            requirements=tuple(requirements),
            created_ms=now,
            deadline_ms=now + deadline_s * 1000,
            status="open",
            due_ms=now + int(min(BIDS_FOR_S, deadline_s / 2) * 1000),
        )
        body = _broadcast(row).to_body()
        event = self._event("task_broadcast", row)
        await self._write(row, event=event)
        self.on_change()
        await self._gossip.publish(TOPIC, TASK_BROADCAST, body)
        return row

    async def wait(self, task_id: str) -> TaskRow:
        """A task of ours once it is done, has failed or has expired, which its deadline sees to."""
        while True:
            changed = self._changed
            row = await self._database.read(lambda conn: rows.get_task(conn, self._own, task_id))
            if row is None or row.status not in ("open", "awarded"):
                return await self._own_task(task_id) if row is None else row
            await changed.wait()

    async def rate(self, task_id: str, quality: float) -> TaskRow:
        """Say how good a result was, from 0 to 1: the worker gets a receipt that says so in place of the first.

        Raises TaskUnrateable if it is none of ours or has no result.
        """
        async with self._turn:
            row = await self._database.read(lambda conn: rows.get_task(conn, self._own, task_id))
            if row is None or row.worker is None or row.receipt is None:
                raise TaskUnrateable("only the result of a task that this twin gave can be rated")
            outcome: Outcome = "result" if row.status == "done" else "failure"
            rated, receipt = await self._receipted(row, row.worker, outcome, quality=quality, bad=1 - quality)
        await self._mail.send(row.worker, contract_net.RECEIPT, receipt.to_body(), thid=row.id)
        return rated

    async def repeat(self, row: TaskRow) -> None:
        """After a start: what may not have gone out before the end goes out again; whoever had it takes it for that."""
        if row.status == "open":
            await self._gossip.publish(TOPIC, TASK_BROADCAST, _broadcast(row).to_body())
        elif row.worker is not None:
            await self._mail.send(row.worker, contract_net.AWARD, Award(row.id).to_body(), thid=row.id)

    async def on_due(self, task_id: str) -> None:
        """The time of a task of ours may have come: choose among its bids, or give it up."""
        async with self._turn:
            row = await self._database.read(lambda conn: rows.get_task(conn, self._own, task_id))
            if row is not None and row.due_ms is not None and row.due_ms <= self._now():
                await self._on_due(row)

    async def _on_due(self, row: TaskRow) -> None:
        if self._now() >= row.deadline_ms:
            await self._expire(row)
        elif row.status == "open":
            bids = await self._bids(row)
            if bids:
                await self._award(row, bids)
            else:
                await self._write(replace(row, due_ms=row.deadline_ms, note="nobody has bid yet"))

    async def _bids(self, row: TaskRow) -> list[ContractRow]:
        found = await self._database.read(lambda conn: rows.contracts(conn, row.requester, row.id))
        return [contract for contract in found if contract.state == "bid"]

    async def _award(self, row: TaskRow, bids: Sequence[ContractRow]) -> None:
        standings = {bid.peer: (await self._reputation.of(bid.peer)).score for bid in bids}
        chosen = best(bids, standings)
        assert chosen is not None
        contract, award = self._contract(chosen).send(Award(row.id))
        awarded = replace(row, status="awarded", worker=chosen.peer, due_ms=row.deadline_ms, note=None)
        event = self._event("task_awarded", awarded, worker=chosen.peer)
        await self._write(awarded, self._kept(chosen, contract), event=event)
        await self._mail.send(chosen.peer, award.type, award.body, thid=row.id)
        for other in bids:
            if other.peer != chosen.peer:
                await self._reject(other, "another twin has it")

    async def _reject(self, row: ContractRow, reason: str) -> None:
        contract, reply = self._contract(row).send(Reject(row.task_id, reason))
        await self._database.write(lambda conn: rows.put_contract(conn, self._kept(row, contract)))
        await self._mail.send(row.peer, reply.type, reply.body, thid=row.task_id)

    async def _expire(self, row: TaskRow) -> None:
        """The deadline has passed: whoever had the task and said nothing has failed it."""
        contracts = await self._database.read(lambda conn: rows.contracts(conn, row.requester, row.id))
        for contract in contracts:
            if contract.state in ("open", "bid"):
                await self._reject(contract, "the deadline has passed")
        if row.worker is None:
            await self._write(replace(row, status="expired", due_ms=None, note="nobody bid in time"))
            return
        await self._end(row, row.worker, "failure", note="no result came in time", quality=0.0, bad=1.0)

    # What bidders and workers say

    def _in_turn(self, handler: Handler) -> Handler:
        async def handle(sender: Did, message: Message) -> Sequence[Reply]:
            async with self._turn:
                return await handler(sender, message)

        return handle

    async def _on_bid(self, sender: Did, message: Message) -> Sequence[Reply]:
        bid = contract_net.Bid.from_body(message.body)
        row = await self._own_task(bid.task_id)
        known = await self._database.read(lambda conn: rows.contracts(conn, self._own, bid.task_id))
        if row.status != "open" or (len(known) >= MAX_BIDS and sender not in {one.peer for one in known}):
            return (Reply(contract_net.REJECT, Reject(bid.task_id, "bids are no longer taken").to_body()),)
        before = next((one for one in known if one.peer == sender), None)
        contract, _ = self._contract(before, bid.task_id, sender).receive(message)
        kept = ContractRow(
            requester=self._own,
            task_id=bid.task_id,
            peer=sender,
            state=contract.state,
            confidence=bid.confidence,
            eta_s=bid.eta_s,
            updated_ms=self._now(),
        )
        late = row.due_ms == row.deadline_ms  # Nobody had bid when it was time to choose: this one is.
        event = self._event("task_bid", row, worker=sender, confidence=bid.confidence)
        await self._write(replace(row, due_ms=self._now()) if late else row, kept, event=event)
        self.on_change()
        return ()

    async def _on_progress(self, sender: Did, message: Message) -> Sequence[Reply]:
        progress = Progress.from_body(message.body)
        _, contract_row = await self._own_contract(progress.task_id, sender)
        contract, _ = self._contract(contract_row).receive(message)
        kept = replace(self._kept(contract_row, contract), percent=progress.percent, note=progress.note or None)
        await self._database.write(lambda conn: rows.put_contract(conn, kept))
        return ()

    async def _on_end(self, sender: Did, message: Message) -> Sequence[Reply]:
        """A result or a failure; the same again gets the same receipt."""
        kind = Result if message.type == contract_net.RESULT else Failure
        body = kind.from_body(message.body)
        row, contract_row = await self._own_contract(body.task_id, sender)
        if contract_row.state == "closed" and row.receipt is not None:
            return (Reply(contract_net.RECEIPT, _receipt_of(row).to_body()),)
        contract, _ = self._contract(contract_row).receive(message)
        assert contract.state in ("delivered", "failed")
        if isinstance(body, Result):
            row = replace(row, result=orjson.dumps(body.to_body()))
            receipt = await self._end(row, sender, "result", note=None, quality=UNRATED, bad=0.0)
        else:
            receipt = await self._end(row, sender, "failure", note=body.reason, quality=0.0, bad=HONEST_FAILURE)
        return (Reply(contract_net.RECEIPT, receipt.to_body()),)

    async def _end(
        self, row: TaskRow, worker: Did, outcome: Outcome, *, note: str | None, quality: float, bad: float
    ) -> Receipt:
        status: TaskStatus = "done" if outcome == "result" else "failed"
        ended = replace(row, status=status, due_ms=None, note=note)
        event = self._event("task_completed", ended, worker=worker, outcome=outcome)
        _, receipt = await self._receipted(ended, worker, outcome, quality=quality, bad=bad, event=event)
        return receipt

    async def _receipted(
        self,
        row: TaskRow,
        worker: Did,
        outcome: Outcome,
        *,
        quality: float,
        bad: float,
        event: Event | None = None,
    ) -> tuple[TaskRow, Receipt]:
        """Sign what is thought of the work; it is our experience with the worker, and a block that it can show.

        The task, the contract, the experience and the event change in one transaction: a crash before it repeats all.
        """
        receipt = Receipt.sign(
            task_id=row.id,
            requester=self._own,
            worker=worker,
            outcome=outcome,
            quality=quality,
            finished=self._now() // 1000,
            sign=self._sign,
        )
        await self._content.add(receipt.block, name=RECEIPT)
        cid = str(receipt.cid)
        noted = self._reputation.noting(worker, "receipt", cid, good=quality, bad=bad, instead_of=row.receipt_cid)
        kept = replace(row, receipt=receipt.block, receipt_cid=cid)

        def write(conn: sqlite3.Connection) -> None:
            contract_row = rows.get_contract(conn, row.requester, row.id, worker)
            assert contract_row is not None
            rows.put_contract(conn, replace(contract_row, state="closed", updated_ms=self._now()))
            rows.put_task(conn, kept)
            noted(conn)
            if event is not None:
                self._events.record(conn, event)

        await self._database.write(write)
        self._tell_waiting()
        if event is not None:
            self._events.announce(event)
        return kept, receipt

    # Rows and contracts

    def _contract(self, row: ContractRow | None, task_id: str = "", peer: Did | None = None) -> Contract:
        if row is not None:
            return Contract("requester", row.task_id, self._own, row.peer, row.state)
        assert peer is not None
        return Contract("requester", task_id, self._own, peer)

    def _kept(self, row: ContractRow, contract: Contract) -> ContractRow:
        return replace(row, state=contract.state, updated_ms=self._now())

    async def _own_task(self, task_id: str) -> TaskRow:
        row = await self._database.read(lambda conn: rows.get_task(conn, self._own, task_id))
        if row is None:
            raise UnexpectedMessage("this twin gave no such task")
        return row

    async def _own_contract(self, task_id: str, peer: Did) -> tuple[TaskRow, ContractRow]:
        row = await self._own_task(task_id)
        contract = await self._database.read(lambda conn: rows.get_contract(conn, self._own, task_id, peer))
        if contract is None:
            raise UnexpectedMessage("its sender never bid for the task")
        return row, contract

    def _event(self, event_type: str, row: TaskRow, **data: object) -> Event:
        return self._events.make(event_type, row.id, {"id": row.id, **data}, source="tasks")

    async def _write(self, row: TaskRow, *contracts: ContractRow, event: Event | None = None) -> None:
        def write(conn: sqlite3.Connection) -> None:
            rows.put_task(conn, row)
            for contract in contracts:
                rows.put_contract(conn, contract)
            if event is not None:
                self._events.record(conn, event)

        await self._database.write(write)
        self._tell_waiting()
        if event is not None:
            self._events.announce(event)

    def _tell_waiting(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _broadcast(row: TaskRow) -> TaskBroadcast:
    return TaskBroadcast(row.id, row.task, row.requirements, row.deadline_ms // 1000)


def _receipt_of(row: TaskRow) -> Receipt:
    assert row.receipt is not None
    return Receipt.from_json(orjson.loads(row.receipt))
