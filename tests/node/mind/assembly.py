"""A mind over the parts of a node: everything real but the model and the directory, which are scripted."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from identity.keys import KeyPair
from node.config import MemoryConfig, MindConfig
from node.content.assembly import make_content
from node.ground import Ground
from node.hive.hive import Hive
from node.hive.retrieval import Retrieval
from node.inference.embedder import Embedder
from node.inference.engine import Engine
from node.inference.local import LocalModel
from node.memory.assembly import MemoryParts, assemble_memory
from node.memory.memory import Memory
from node.mind.answering.answering import Writer
from node.mind.assembly import MindParts, assemble_mind
from node.mind.colleagues import Colleagues
from node.mind.executive import Executive, JobResult
from node.mind.jobs.approvals import Approvals
from node.mind.jobs.jobs import Jobs
from node.mind.learning.learning import Learning
from node.swarm import KnownTwin
from node.tasks.requester import Requester
from plugins.builtin import calculator
from plugins.host import PluginHost
from plugins.sdk import Plugin, Tool
from tests.node.inference.fake import ScriptedEngine
from tests.node.memory.fake import WordEmbedder
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, Mail, Node, new_hive, new_reputation, open_node, running

NO_MODEL_REASON = "no model was chosen"


@dataclass
class ListedTwins:
    """A directory whose list the test writes."""

    listed: list[KnownTwin] = field(default_factory=list)

    async def twins(self) -> list[KnownTwin]:
        return list(self.listed)

    def add(self, node: Node, *topics: str, online: bool = True) -> None:
        self.listed.append(KnownTwin(node.did, f"twin {len(self.listed)}", (), (), topics, 0, online, 0.0))


@dataclass
class Mind:
    """One twin that thinks."""

    node: Node
    mail: Mail
    memory: Memory
    remembering: MemoryParts
    embedder: Embedder
    directory: ListedTwins
    model: LocalModel
    engine: ScriptedEngine | None
    writer: Writer
    hive: Hive
    tools: PluginHost
    requester: Requester
    parts: MindParts

    @property
    def colleagues(self) -> Colleagues:
        return self.parts.colleagues

    @property
    def learning(self) -> Learning:
        return self.parts.learning

    @property
    def jobs(self) -> Jobs:
        return self.parts.jobs

    @property
    def approvals(self) -> Approvals:
        return self.parts.approvals

    @property
    def executive(self) -> Executive:
        return self.parts.executive

    async def remember(self, content: str, namespace: str = "shared") -> str:
        return await self.memory.add(kind="semantic", content=content, namespace=namespace)

    async def pursue(self, goal: str, **options: Any) -> JobResult:
        """Give a goal, and wait until it was answered and reflected on."""
        result = await self.executive.interact(goal, **options)
        if result.status == "done":
            await self.executive.reflected(result.job_id)
        return await self.executive.result(result.job_id)


def plugin_of(*tools: Tool, name: str = "test") -> Plugin:
    """A plugin of tools that the test made."""
    return Plugin(name=name, version="1", tools=tools, skills=Path(__file__))


@contextlib.asynccontextmanager
async def open_mind(
    swarm: FakeSwarm,
    home: Path,
    *,
    engine: ScriptedEngine | None = None,
    tools: Sequence[Tool] = (),
    keys: KeyPair | None = None,
    clock: Clock | None = None,
    works: bool = True,
    embedder: Embedder | None = None,
    **config: Any,
) -> AsyncIterator[Mind]:
    """A mind whose post office runs, and which works on goals unless `works` is False."""
    settings = MindConfig(**config)
    async with open_node(swarm, home, keys=keys, clock=clock) as node:
        embedder = embedder or WordEmbedder(dimensions=256)
        async with Memory.open(node.database, embedder) as memory:
            mail, directory, hive = Mail(node), ListedTwins(), new_hive(node)
            await hive.load()
            model = LocalModel(None if engine else NO_MODEL_REASON)
            if engine is not None:
                checked: Engine = engine
                model.settle(checked, None)
            remembering = assemble_memory(memory, MemoryConfig(), model=model, now=node.clock)
            host = PluginHost()
            host.register(calculator.plugin())
            if tools:
                host.register(plugin_of(*tools))
            reputation = new_reputation(node)
            requester = Requester(
                own=node.did,
                sign=node.keys.sign,
                database=node.database,
                gossip=node.gossip,
                mail=mail.office,
                reputation=reputation,
                content=make_content(store=node.blocks, database=node.database, network=node.network),
                events=node.events,
                now=node.clock,
            )
            parts = assemble_mind(
                Ground(
                    own=node.own,
                    resolver=node.resolver,
                    database=node.database,
                    events=node.events,
                    network=node.network,
                    trust=node.trust,
                    now=node.clock,
                ),
                settings,
                keys=node.keys,
                name="Test",
                model=model,
                embedder=embedder,
                retrieval=Retrieval(embedder),
                memory=remembering,
                messaging=SimpleNamespace(  # type: ignore[arg-type]
                    mail=mail.office, intake=mail.intake, composer=mail.composer, delivery=mail.delivery
                ),
                gossip=node.gossip,
                current=lambda did: did,
                directory=directory,  # type: ignore[arg-type]
                hive=hive,
                reputation=reputation,
                requester=requester,
                tools=host,
                exports=home / "exports",
            )
            await parts.load()
            mind = Mind(
                node=node,
                mail=mail,
                memory=memory,
                remembering=remembering,
                embedder=embedder,
                directory=directory,
                model=model,
                engine=engine,
                writer=Writer(model, node.events),
                hive=hive,
                tools=host,
                requester=requester,
                parts=parts,
            )
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(running(mail.office.run()))
                if works:
                    await stack.enter_async_context(running(parts.executive.run()))
                yield mind


@contextlib.asynccontextmanager
async def open_pair(path: Path, **options: Any) -> AsyncIterator[tuple[Mind, Mind]]:
    """Two that are connected and name each other; the first lists the second with the topic 'flour mill'."""
    swarm = FakeSwarm()
    async with open_mind(swarm, path / "a", **options) as a, open_mind(swarm, path / "b") as b:
        await a.node.name(b.node)
        await b.node.name(a.node)
        await a.node.dial(b.node)
        a.directory.add(b.node, "flour mill")
        yield a, b
