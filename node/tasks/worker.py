"""Doing tasks: bid for what this twin can do, work once awarded, hand in the result, and keep the receipt.

Only tasks of twins that the owner named are considered, and only what other twins may know is used for them: the work
is an answer from what the requester may be told. A bid says how near that comes to the task; without anything near,
none is made. Work that a crash interrupted is done again when the award is handled again.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import orjson

from identity.did import Did
from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.content.content import Content
from node.events import EventBus
from node.gossip import Gossip, Heard
from node.messaging.post_office import PostOffice
from node.swarm import CAPABILITIES
from node.trust import TrustList
from protocols.conversations import contract_net
from protocols.conversations.contract_net import Award, Bid, Contract, Failure, Reject, Result
from protocols.conversations.receipt import Receipt
from protocols.conversations.reply import Reply
from protocols.errors import UnexpectedMessage
from protocols.message import Message
from protocols.swarm import TASK_BROADCAST, TaskBroadcast
from protocols.task import Answer
from storage import tasks as rows
from storage.database import Database
from storage.pins import RECEIPT
from storage.tasks import ContractRow, TaskRow, TaskStatus

logger = logging.getLogger(__name__)

ETA_S: Final = 30
"""An answer from memory takes a local model some seconds; a few may wait before it."""

MAX_WORKING: Final = 8
"""Tasks that are bid for or worked on at once: each that is awarded costs minutes of a small machine."""

MAX_WORKING_FOR_ONE: Final = MAX_WORKING // 2
"""Of these for one requester: whoever never says who got its tasks must not keep all places until their deadlines."""

HOPE_S: Final = 120
"""How long a bid keeps a place. An award that comes later is worked on all the same; most never come."""

_SHOWN: Final[dict[str, TaskStatus]] = {
    "bid": "bid",
    "working": "working",
    "delivered": "done",
    "failed": "failed",
    "closed": "done",
    "rejected": "lost",
    "expired": "expired",
}


class Worker:
    """The tasks of others that this twin bids for. `confidence` and `answer` are the mind's (node/mind/colleagues)."""

    def __init__(
        self,
        *,
        own: Did,
        database: Database,
        gossip: Gossip,
        mail: PostOffice,
        trust: TrustList,
        content: Content,
        events: EventBus,
        confidence: Callable[[str, Did], Awaitable[float]],
        answer: Callable[[str, Did], Awaitable[Answer]],
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._database = database
        self._mail = mail
        self._trust = trust
        self._content = content
        self._events = events
        self._confidence = confidence
        self._answer = answer
        self._now = now
        self._bidding = asyncio.Lock()
        self.on_change: Callable[[], None] = lambda: None
        self.counters: Counter[str] = Counter()
        gossip.on(TASK_BROADCAST, self._on_broadcast)
        mail.handle(contract_net.AWARD, self._on_award)
        mail.handle(contract_net.REJECT, self._on_reject)
        mail.handle(contract_net.RECEIPT, self._on_receipt)

    async def expire(self, row: TaskRow) -> None:
        """The deadline of a task that we only bid for has passed."""
        _, kept = await self._task(row.requester, row.id)
        if kept.state == "bid":
            await self._kept(replace(row, due_ms=None), kept, self._contract(kept).expire())
        else:
            await self._write(replace(row, due_ms=None), kept)

    async def _on_broadcast(self, heard: Heard) -> None:
        """Consider a task; strangers' tasks are only broadcast to whoever watches."""
        task = TaskBroadcast.from_body(heard.message.body)
        requester = heard.author
        self._events.broadcast("task_broadcast", task.id, {"id": task.id, "from": requester}, source="tasks")
        if requester == self._own or not self._trust.allows(requester) or task.deadline * 1000 <= self._now():
            return
        if not set(task.requirements) <= set(CAPABILITIES):
            self.counters["tasks_beyond_us"] += 1
            return
        async with self._bidding:  # One at a time: the count of those under way is read and then added to.
            await self._consider(requester, task)

    async def _consider(self, requester: Did, task: TaskBroadcast) -> None:
        def known(conn: sqlite3.Connection) -> bool:
            hoped_for_since = self._now() - HOPE_S * 1000
            under_way = [
                row.requester
                for row in rows.tasks_with(conn, ("bid", "working"))
                if row.status == "working" or row.created_ms >= hoped_for_since
            ]
            busy = len(under_way) >= MAX_WORKING or under_way.count(requester) >= MAX_WORKING_FOR_ONE
            return busy or rows.get_task(conn, requester, task.id) is not None

        if await self._database.read(known):
            return
        confidence = await self._confidence(task.task, requester)
        if confidence <= 0:
            self.counters["tasks_beyond_us"] += 1
            return
        contract, bid = Contract("worker", task.id, self._own, requester).send(Bid(task.id, confidence, ETA_S))
        now = self._now()
        row = TaskRow(
            id=task.id,
            requester=requester,
            task=task.task,
            requirements=task.requirements,
            created_ms=now,
            deadline_ms=task.deadline * 1000,
            status="bid",
            due_ms=task.deadline * 1000,
            worker=self._own,
        )
        kept = ContractRow(
            requester=requester,
            task_id=task.id,
            peer=self._own,
            state=contract.state,
            confidence=confidence,
            eta_s=ETA_S,
            updated_ms=now,
        )
        await self._write(row, kept)
        self.on_change()
        await self._mail.send(requester, bid.type, bid.body, thid=task.id)

    async def _on_award(self, sender: Did, message: Message) -> Sequence[Reply]:
        award = Award.from_body(message.body)
        row, kept = await self._task(sender, award.task_id)
        if kept.state == "bid":
            contract, _ = self._contract(kept).receive(message)
            row, kept = await self._kept(row, kept, contract)
        if kept.state == "working":
            row, kept = await self._work(row, kept)
        if row.result is None:  # it was lost or is over: nothing is done for an award that comes then
            raise UnexpectedMessage(f"the task is {kept.state} here")
        ended = orjson.loads(row.result)
        return (Reply(contract_net.FAILURE if "reason" in ended else contract_net.RESULT, ended),)

    async def _work(self, row: TaskRow, kept: ContractRow) -> tuple[TaskRow, ContractRow]:
        """Do the task; its result, or why there is none, is on disk when this returns.

        If the award was taken back meanwhile, there is no result.
        """
        body = Failure(row.id, "the deadline has passed") if self._now() >= row.deadline_ms else await self._done(row)
        row, kept = await self._task(row.requester, row.id)
        if kept.state != "working":
            return row, kept
        contract, reply = self._contract(kept).send(body)
        return await self._kept(replace(row, result=orjson.dumps(dict(reply.body)), due_ms=None), kept, contract)

    async def _done(self, row: TaskRow) -> Result | Failure:
        try:
            answer = await self._answer(row.task, row.requester)
        except PagiError as error:
            logger.warning("task %s failed: %s", row.id, error)
            return Failure(row.id, "the work failed here")
        if not answer.answer:
            return Failure(row.id, "nothing that may be shared answers it")
        return Result(row.id, answer.answer, tuple(f"memory:{source.memory_id}" for source in answer.sources))

    async def _on_reject(self, sender: Did, message: Message) -> Sequence[Reply]:
        reject = Reject.from_body(message.body)
        row, kept = await self._task(sender, reject.task_id)
        contract, _ = self._contract(kept).receive(message)
        await self._kept(replace(row, note=reject.reason or None, due_ms=None), kept, contract)
        return ()

    async def _on_receipt(self, sender: Did, message: Message) -> Sequence[Reply]:
        """Keep what the requester signed about our work; a later receipt, of a result that was rated, replaces it."""
        receipt = Receipt.from_body(message.body)
        row, kept = await self._task(sender, receipt.task_id)
        if (receipt.requester, receipt.worker) != (sender, self._own):
            raise UnexpectedMessage("the receipt is between others")
        contract = self._contract(kept)
        if kept.state != "closed":
            contract, _ = contract.receive(message)
        await self._content.add(receipt.block, name=RECEIPT)
        status: TaskStatus = "done" if receipt.outcome == "result" else "failed"
        changed = replace(row, receipt=receipt.block, receipt_cid=str(receipt.cid), status=status, due_ms=None)
        await self._write(changed, replace(kept, state=contract.state, updated_ms=self._now()))
        return ()

    async def _task(self, requester: Did, task_id: str) -> tuple[TaskRow, ContractRow]:
        def read(conn: sqlite3.Connection) -> tuple[TaskRow | None, ContractRow | None]:
            return (
                rows.get_task(conn, requester, task_id),
                rows.get_contract(conn, requester, task_id, self._own),
            )

        row, kept = await self._database.read(read)
        if row is None or kept is None:
            raise UnexpectedMessage("this twin did not bid for such a task")
        return row, kept

    def _contract(self, row: ContractRow) -> Contract:
        return Contract("worker", row.task_id, self._own, row.requester, row.state)

    async def _kept(self, row: TaskRow, kept: ContractRow, contract: Contract) -> tuple[TaskRow, ContractRow]:
        changed = replace(kept, state=contract.state, updated_ms=self._now())
        row = replace(row, status=_SHOWN[contract.state])
        await self._write(row, changed)
        return row, changed

    async def _write(self, row: TaskRow, kept: ContractRow) -> None:
        def write(conn: sqlite3.Connection) -> None:
            rows.put_task(conn, row)
            rows.put_contract(conn, kept)
            rows.forget_lost(conn, row.requester)

        await self._database.write(write)
