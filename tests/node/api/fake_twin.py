"""A twin whose services live in memory: what the tests of the API and of the command line talk to.

As a program (`python fake_twin.py HOME`) it answers on a free port of 127.0.0.1 and writes the home's `api` and
`api-token`, prints one line once it listens, and ends when its standard input does.
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
from fake_credentials import FakeCredentials
from fake_git import FakeGit
from fake_hive import KEYS, NOW_MS, FakeHive
from fake_hosting import FakeHosting, FakeRemotePins
from fake_inference import FakeInference
from fake_learning import FakeExporting, FakeLearner, FakeLearning, FakeProposing
from fake_memory import FakeMemory, FakeRemembering
from fake_mind import FakeBuilder, FakeClearing, FakeEmotions, FakeKillSwitch
from fake_models import FakeModels
from fake_names import FakeRouting

from identity.cid import Cid
from identity.did import Did, DidDocument, PeerId, did_key, peer_id
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE, CODEC_RAW
from identity.resolver import Resolver
from node.api.app import make_app, serve
from node.dids.own import OwnDids
from node.errors import (
    InvitationUnknown,
    JobUnknown,
    MessageTimeout,
    TaskUnknown,
)
from node.events import Event, Lagged
from node.inference.gateway import Gateway
from node.messaging.invitations import Accepted
from node.messaging.mediation import MediatorStatus
from node.mind.errors import ApprovalOver, ApprovalUnknown, JobOver
from node.mind.executive import JobResult
from node.mind.jobs.following import JobEvent
from node.mind.jobs.jobs import Job, Step
from node.net.errors import MalformedAddress
from node.net.port import PeerInfo
from node.reputation.standing import Standing, Term
from plugins.errors import BadArguments, ToolNotFound
from protocols.conversations import discover_features, out_of_band, trust_ping
from protocols.message import Attachment, Message
from protocols.swarm import Mediator
from storage.approvals import ApprovalRow
from storage.eventlog import LogEntry
from storage.invitations import InvitationRow
from storage.jobs import LogLine
from storage.mailbox import InboxRow
from storage.outbox import OutboxForm, OutboxRow
from storage.page import Page
from storage.tasks import ContractRow, TaskRow
from storage.trust import Trust
from tests.node.content.content_parts import content_over
from tests.node.content.fake_blocks import FakeBlocks

TOKEN = "test-token"
OTHER = did_key(KeyPair(bytes(32)).public)
NOW = "2026-11-18T11:06:40.250Z"


def page(rows: Sequence[Any], limit: int, after: str | None) -> Page[Any]:
    """A page whose cursor is the number of rows before it."""
    start = int(after or 0)
    end = start + limit
    return Page(tuple(rows[start:end]), str(end) if end < len(rows) else None)


@dataclass(frozen=True)
class Known:
    did: Did
    name: str
    addresses: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/4801",)
    capabilities: tuple[str, ...] = ("research",)
    topics: tuple[str, ...] = ("tides",)
    last_seen_ms: int = NOW_MS
    online: bool = True
    reputation: float = 0.5
    mediators: tuple[Mediator, ...] = (Mediator(OTHER, ("/ip4/192.0.2.1/tcp/4800/p2p/12D3",)),)


@dataclass(frozen=True)
class Sent:
    id: str
    status: str


@dataclass(frozen=True)
class ToolInfo:
    name: str
    description: str
    parameters: Mapping[str, Any]
    plugin: str = "arithmetic"
    kind: str = "builtin"
    health: str = "ok"
    owner_only: bool = False
    effect: str = "none"


@dataclass(frozen=True)
class Check:
    ok: bool
    detail: str
    degraded: bool = False


class FakeNetwork:
    def __init__(self) -> None:
        self.dialled: list[str] = []

    def addresses(self) -> tuple[str, ...]:
        return (f"/ip4/127.0.0.1/tcp/4801/p2p/{peer_id(KEYS.public)}",)

    def peers(self) -> tuple[PeerInfo, ...]:
        peer = PeerId("12D3KooWOther")
        return (PeerInfo(peer, OTHER, ("/ip4/127.0.0.1/tcp/4802",), 1.5, False),)

    async def dht_servers(self) -> tuple[PeerId, ...]:
        return (PeerId("12D3KooWRelay"),)

    async def dial(self, address: str, *, timeout_s: float = 10) -> PeerId:
        if not address.startswith("/ip4/"):
            raise MalformedAddress("not a multiaddr that can be dialled")
        self.dialled.append(address)
        return PeerId(address.rpartition("/")[2])


class FakeDirectory:
    def __init__(self) -> None:
        self.known = [Known(did_key(KeyPair(bytes([n]) * 32).public), f"twin-{n}") for n in range(3)]

    async def twins(self) -> list[Known]:
        return list(self.known)


class FakeExecutive:
    """Answers with the goal; a goal of "fail" fails, one of "break" raises what no route expects, and one of "wait"
    waits for the owner."""

    def __init__(self, jobs: "FakeJobs", approvals: "FakeApprovals") -> None:
        self._jobs = jobs
        self._approvals = approvals

    async def submit(
        self, goal: str, *, session_id: str | None = None, max_steps: int = 8, deadline_s: float | None = None
    ) -> str:
        if goal == "break":
            raise RuntimeError("a secret in /home/somebody/file")
        status = {"fail": "failed", "wait": "waiting_approval"}.get(goal, "done")
        steps = (Step(1, "recall", {"query": goal}, {"found": 0}, 1.25), Step(2, "respond", {}, None, 2.0))
        job = Job(
            id=str(uuid.uuid4()),
            goal=goal,
            session_id=session_id,
            status=status,
            created_ms=NOW_MS,
            answer=f"You said: {goal}",
            reflection="Nothing to learn.",
            steps=steps[:max_steps],
            degraded="there is no model",
        )
        self._jobs.jobs.insert(0, job)
        if status == "waiting_approval":
            self._approvals.ask(job.id)
        return job.id

    async def interact(self, goal: str, **options: Any) -> JobResult:
        return await self.result(await self.submit(goal, **options))

    async def result(self, job_id: str) -> JobResult:
        job = await self._jobs.get(job_id)
        answer, waits_for = job.answer or "", tuple(row.id for row in self._approvals.pending(job_id))
        return JobResult(job.id, job.status, answer, job.steps, job.reflection, True, job.degraded, waits_for)

    async def plan(self, goal: str) -> tuple[Step, ...]:
        return (Step(1, "respond", {"goal": goal}, None, 0.0),)

    async def follow(self, job_id: str) -> AsyncGenerator[JobEvent, None]:
        job = await self._jobs.get(job_id)
        for step in job.steps:
            data = {"n": step.n, "action": step.action, "input": step.input, "output": step.output, "ms": step.ms}
            yield JobEvent(job_id, "step", data)
        for row in self._approvals.pending(job_id):
            yield JobEvent(job_id, "approval", {"id": row.id, "kind": row.kind, "summary": row.summary})
        yield JobEvent(job_id, "text", {"text": job.answer or ""})
        yield JobEvent(job_id, "end", {"status": job.status, "answer": job.answer, "degraded": job.degraded})

    async def cancel(self, job_id: str) -> JobResult:
        return await self._moved(job_id, "cancelled")

    async def pause(self, job_id: str) -> JobResult:
        return await self._moved(job_id, "paused")

    async def resume(self, job_id: str) -> JobResult:
        return await self._moved(job_id, "queued")

    async def _moved(self, job_id: str, status: str) -> JobResult:
        job = await self._jobs.get(job_id)
        if job.ended:
            raise JobOver(f"the job {job_id} is {job.status}")
        self._jobs.jobs[self._jobs.jobs.index(job)] = replace(job, status=status)
        return await self.result(job_id)


class FakeApprovals:
    """What a goal of "wait" waits for."""

    def __init__(self) -> None:
        self.rows: list[ApprovalRow] = []

    def ask(self, job_id: str) -> None:
        action = b'{"arguments":{"a":1},"job_id":null,"tool":"add"}'
        row = ApprovalRow(
            seq=len(self.rows),
            id=str(uuid.uuid4()),
            job_id=job_id,
            n=2,
            kind="action",
            summary='Use the tool add with {"a": 1}',
            action=action,
            action_hash=bytes(32),
            status="pending",
            created_ms=NOW_MS,
            expires_ms=NOW_MS + 1000,
        )
        self.rows.insert(0, row)

    def pending(self, job_id: str) -> list[ApprovalRow]:
        return [row for row in self.rows if row.job_id == job_id and row.status == "pending"]

    async def list(self, limit: int, after: str | None, *, status: str | None) -> Page[ApprovalRow]:
        return page([row for row in self.rows if status in (None, row.status)], limit, after)

    async def get(self, approval_id: str) -> ApprovalRow:
        for row in self.rows:
            if row.id == approval_id:
                return row
        raise ApprovalUnknown("there is no such approval")

    async def decide(self, approval_id: str, *, approve: bool, note: str | None = None) -> ApprovalRow:
        row = await self.get(approval_id)
        if row.status != "pending":
            raise ApprovalOver(f"this was {row.status}")
        decided = replace(row, status="approved" if approve else "denied", note=note, decided_ms=NOW_MS, record=b"{}")
        self.rows[self.rows.index(row)] = decided
        return decided


class FakeJobs:
    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def list(self, limit: int, after: str | None) -> Page[Job]:
        return page(self.jobs, limit, after)

    async def get(self, job_id: str) -> Job:
        for job in self.jobs:
            if job.id == job_id:
                return job
        raise JobUnknown(f"no job {job_id}")

    async def log(self, job_id: str) -> tuple[LogLine, ...]:
        await self.get(job_id)
        return (LogLine(1, NOW_MS, "plan", "first recall"), LogLine(2, NOW_MS, "info", "done"))


class FakeMail:
    """Delivers nothing until somebody waits, and then at once; a message to nobody but us comes in too."""

    def __init__(self, own: Did) -> None:
        self._own = own
        self.sent: list[OutboxRow] = []
        self.received: list[InboxRow] = []

    async def send(
        self,
        to: Did,
        type: str,  # noqa: A002
        body: Mapping[str, Any],
        *,
        thid: str | None = None,
        pthid: str | None = None,
        attachments: Sequence[Attachment] = (),
        please_ack: bool = False,
        expires_s: int | None = None,
        form: OutboxForm = "authcrypt",
    ) -> Sent:
        message = Message(
            id=str(uuid.uuid4()),
            type=type,
            body=body,
            from_=self._own,
            to=(to,),
            thid=thid,
            pthid=pthid,
            attachments=tuple(attachments),
            please_ack=("",) if please_ack else (),
        )
        row = OutboxRow(
            seq=0,
            message_id=message.id,
            to_did=to,
            type=type,
            thid=thid,
            pthid=pthid,
            plaintext=message.to_bytes(),
            form=form,
            created_ms=NOW_MS,
            expires_ms=None,
            status="queued",
            attempts=1,
            next_attempt_ms=NOW_MS,
            sent_ms=None,
            delivered_ms=None,
            via=None,
            acked=False,
            last_error="no connection",
        )
        self.sent.insert(0, row)
        if to == self._own:
            came = InboxRow(
                0, message.id, None, to, type, thid, row.plaintext, NOW_MS // 1000, NOW_MS, "received", "libp2p"
            )
            self.received.insert(0, came)
        return Sent(message.id, "queued")

    async def wait_delivered(self, message_id: str, timeout_s: float) -> str:
        return "queued" if message_id == "accepted" or self.sent[0].to_did == OTHER else "delivered"

    async def inbox(self, limit: int, after: str | None) -> Page[InboxRow]:
        return page(self.received, limit, after)

    async def outbox(self, limit: int, after: str | None) -> Page[OutboxRow]:
        return page(self.sent, limit, after)


class FakeExchange:
    """Everybody answers a ping at once, and speaks trust-ping; OTHER answers nothing."""

    async def ask(self, to: Did, message_type: str, body: Mapping[str, Any], *, timeout_s: float) -> Message:
        if to == OTHER:
            raise MessageTimeout(f"no reply from {to} within {timeout_s:g} s")
        if message_type == trust_ping.PING:
            return Message(id="1", type=trust_ping.PING_RESPONSE)
        known = discover_features.features_of((trust_ping.SENDER, trust_ping.RECEIVER))
        reply = discover_features.disclose(discover_features.Queries.from_body(body), known)
        return Message(id="1", type=reply.type, body=reply.body)


class FakeInvitations:
    """Invitations that nobody answers. The only one that can be accepted is of OTHER."""

    def __init__(self, own: Did) -> None:
        self._own = own
        self.rows: list[InvitationRow] = []

    async def create(
        self, *, goal: str | None, goal_code: str | None, name: str | None, uses: int, expires_s: int
    ) -> InvitationRow:
        message_id = uuid.uuid4().hex
        body = out_of_band.Invitation(goal_code or "", goal or "").to_body()
        message = Message(id=message_id, type=out_of_band.INVITATION, body=body, from_=self._own)
        url = out_of_band.to_url(message, "didcomm://invitation")
        expires_ms = NOW_MS + expires_s * 1000
        row = InvitationRow(len(self.rows), message_id, self._own, url, goal, goal_code, name, uses, NOW_MS, expires_ms)
        self.rows.insert(0, row)
        return row

    async def list(self, limit: int, after: str | None) -> Page[InvitationRow]:
        return page(self.rows, limit, after)

    async def remove(self, invitation_id: str) -> None:
        if not any(row.id == invitation_id for row in self.rows):
            raise InvitationUnknown("no invitation has this id")
        self.rows = [row for row in self.rows if row.id != invitation_id]

    async def accept(self, url: str) -> Accepted:
        message = out_of_band.from_url(url)
        assert message.from_ is not None
        return Accepted(message.from_, None, "accepted")


class FakeTrust:
    def __init__(self) -> None:
        self.trust = Trust(frozenset(), frozenset(), 1.0, False)

    async def get(self) -> Trust:
        return self.trust

    async def put(self, trust: Trust) -> None:
        self.trust = trust


class FakeReputation:
    async def of(self, did: Did) -> Standing:
        return Standing(0.5, (Term("receipt", 2.0, 0.0, "2 seen here"),))


class FakeTasks:
    def __init__(self) -> None:
        self.rows: list[TaskRow] = []

    async def post(self, task: str, requirements: Sequence[str], deadline_s: int) -> TaskRow:
        row = TaskRow(
            id=str(uuid.uuid4()),
            requester=did_key(KEYS.public),
            task=task,
            requirements=tuple(requirements),
            created_ms=NOW_MS,
            deadline_ms=NOW_MS + deadline_s * 1000,
            status="open",
            due_ms=None,
        )
        self.rows.insert(0, row)
        return row

    async def list(self, limit: int, after: str | None = None) -> Page[TaskRow]:
        return page(self.rows, limit, after)

    async def get(self, task_id: str) -> tuple[TaskRow, Sequence[ContractRow]]:
        for row in self.rows:
            if row.id == task_id:
                bid = ContractRow(
                    requester=row.requester,
                    task_id=row.id,
                    peer=OTHER,
                    state="bid",
                    confidence=0.5,
                    eta_s=3,
                    updated_ms=NOW_MS,
                )
                return row, (bid,)
        raise TaskUnknown(f"no task {task_id!r} is known here")

    async def rate(self, task_id: str, quality: float) -> TaskRow:
        row, _ = await self.get(task_id)
        receipt = orjson.dumps({"artifact": {"quality": quality}})
        return replace(row, status="done", worker=OTHER, receipt=receipt, receipt_cid=str(Cid.of(CODEC_RAW, receipt)))


class FakeTools:
    def list(self) -> tuple[ToolInfo, ...]:
        schema = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
        return (ToolInfo("add", "Adds two numbers.", schema),)

    async def execute(self, name: str, parameters: Mapping[str, Any]) -> Any:
        if name != "add":
            raise ToolNotFound(f"no tool {name!r}")
        if set(parameters) != {"a", "b"}:
            raise BadArguments("'a' and 'b' are needed")
        return parameters["a"] + parameters["b"]


class FakeEvents:
    def __init__(self, own: Did) -> None:
        self._own = own
        self.happened: list[Event] = []
        self.streams: list[asyncio.Queue[Event | Lagged]] = []
        self.subscribed = asyncio.Event()
        self.left = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Event | Lagged]]:
        queue: asyncio.Queue[Event | Lagged] = asyncio.Queue()

        async def follow() -> AsyncIterator[Event | Lagged]:
            while True:
                yield await queue.get()

        self.streams.append(queue)
        self.subscribed.set()
        try:
            yield follow()
        finally:
            self.streams.remove(queue)
            self.left.set()

    def lag(self, n: int) -> None:
        for queue in self.streams:
            queue.put_nowait(Lagged(n))

    async def publish(
        self, event_type: str, subject: str, data: Mapping[str, Any], *, source: str = "node", trace_id: str = ""
    ) -> Event:
        event = Event(
            id=str(uuid.uuid4()),
            event_type=event_type,
            ts_ms=NOW_MS,
            twin_id=self._own,
            subject=subject,
            source=source,
            trace_id=trace_id,
            payload=data,
        )
        self.happened.append(event)
        for queue in self.streams:
            queue.put_nowait(event)
        return event

    async def log(
        self,
        limit: int = 100,
        after: str | None = None,
        *,
        event_type: str | None = None,
        twin_id: str | None = None,
        source: str | None = None,
    ) -> Page[LogEntry]:
        rows = [
            LogEntry(
                n, e.id, e.event_type, e.ts_ms, e.twin_id, e.subject, e.source, e.trace_id, orjson.dumps(e.payload)
            )
            for n, e in enumerate(self.happened)
            if event_type in (None, e.event_type) and twin_id in (None, e.twin_id) and source in (None, e.source)
        ]
        return page(rows, limit, after)


class FakeSuccessions:
    """The last of the known twins has replaced its key."""

    def current(self, did: Did) -> Did:
        return did

    def formerly(self, did: Did) -> tuple[Did, ...]:
        return (OTHER,) if did == did_key(KeyPair(bytes([2]) * 32).public) else ()


class FakeMediation:
    """One relay that keeps mail, and one that does not."""

    def status(self) -> tuple[MediatorStatus, ...]:
        kept = MediatorStatus(
            OTHER,
            "granted",
            None,
            OTHER,
            ("/ip4/192.0.2.1/tcp/4800/p2p/12D3",),
            3,
            1_700_000_000_000,
            1_700_000_060_000,
        )
        other = did_key(KeyPair(bytes([9]) * 32).public)
        return kept, MediatorStatus(other, "denied", "it keeps no mail for us", None, (), None, None, None)


@dataclass
class FakeTwin:
    did: Did = field(default_factory=lambda: did_key(KEYS.public))
    own: OwnDids = field(default_factory=lambda: OwnDids(KEYS))
    resolver: Resolver = field(default_factory=lambda: Resolver(fetch=None, now_s=lambda: 0.0))
    peer_id: PeerId = field(default_factory=lambda: peer_id(KEYS.public))
    name: str = "fake"
    version: str = "0.0.1"
    capabilities: tuple[str, ...] = ("research", "tool_use")
    well: bool = True
    has_model: bool = True
    successions: FakeSuccessions = field(default_factory=FakeSuccessions)
    network: FakeNetwork = field(default_factory=FakeNetwork)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    jobs: FakeJobs = field(default_factory=FakeJobs)
    memory: FakeMemory = field(default_factory=lambda: FakeMemory(NOW_MS))
    hive: FakeHive = field(default_factory=FakeHive)
    git: FakeGit = field(default_factory=lambda: FakeGit(Cid.of(CODEC_DAG_JOSE, b"merged")))
    trust: FakeTrust = field(default_factory=FakeTrust)
    reputation: FakeReputation = field(default_factory=FakeReputation)
    tasks: FakeTasks = field(default_factory=FakeTasks)
    blocks: FakeBlocks = field(default_factory=FakeBlocks)
    tools: FakeTools = field(default_factory=FakeTools)
    mediation: FakeMediation = field(default_factory=FakeMediation)
    inference: FakeInference = field(default_factory=FakeInference)

    def __post_init__(self) -> None:
        self.approvals = FakeApprovals()
        self.executive = FakeExecutive(self.jobs, self.approvals)
        self.learning = FakeLearning()
        self.model = self.inference.local
        self.models = FakeModels(self.model)
        self.mind = SimpleNamespace(
            proposing=FakeProposing(),
            meta=SimpleNamespace(learner=FakeLearner(), exporting=FakeExporting()),
            emotions=FakeEmotions(),
            kill_switch=FakeKillSwitch(self.did, NOW_MS),
            builder=FakeBuilder(),
            clearing=FakeClearing(self.jobs.jobs),
        )
        self.remembering = FakeRemembering(self.memory)
        self.content = content_over(self.blocks)
        self.hosting = FakeHosting(OTHER, NOW_MS)
        self.remote_pins = FakeRemotePins(NOW_MS)
        self.routing = FakeRouting(KEYS, NOW_MS)
        self.mail = FakeMail(self.did)
        self.messaging = SimpleNamespace(exchange=FakeExchange(), invitations=FakeInvitations(self.did))
        self.events = FakeEvents(self.did)
        self.credentials = FakeCredentials(KEYS, NOW_MS)

    @property
    def gateway(self) -> Gateway:
        return self.inference.gateway

    def document(self) -> DidDocument:
        return self.own.document()

    def sign(self, data: bytes) -> bytes:
        return KEYS.sign(data)

    def health(self) -> dict[str, Check]:
        model = Check(True, "small.gguf") if self.has_model else Check(True, "degraded: no model", degraded=True)
        return {"storage": Check(True, "900 MiB free"), "network": Check(self.well, "1 peers"), "model": model}

    def counters(self) -> dict[str, int]:
        return {"gossip_received": 7, "gossip_dropped": 0}


async def _main(home: Path) -> None:
    async with serve(make_app(FakeTwin(), TOKEN), "127.0.0.1", 0) as url:
        (home / "api-token").write_text(TOKEN + "\n")
        (home / "api").write_text(url + "\n")
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
