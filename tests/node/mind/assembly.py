"""A mind over the parts of a node: real memory, mail, playbooks and jobs; the model and the directory are scripted."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.config import MindConfig
from node.hive.hive import Hive
from node.hive.retrieval import Retrieval
from node.inference.engine import Engine
from node.inference.local import LocalModel
from node.memory.memory import Memory
from node.mind.answering import Writer
from node.mind.colleagues import Colleagues
from node.mind.executive import Executive
from node.mind.jobs import Jobs
from node.mind.learning import Learning
from node.swarm import KnownTwin
from plugins.builtin import calculator
from plugins.host import PluginHost
from tests.node.inference.fake import ScriptedEngine
from tests.node.memory.fake import WordEmbedder
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_hive, new_reputation, open_node, running

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
    embedder: WordEmbedder
    directory: ListedTwins
    model: LocalModel
    engine: ScriptedEngine | None
    writer: Writer
    colleagues: Colleagues
    hive: Hive
    learning: Learning
    jobs: Jobs
    executive: Executive

    async def remember(self, content: str, namespace: str = "shared") -> str:
        return await self.memory.add(kind="semantic", content=content, namespace=namespace)


@contextlib.asynccontextmanager
async def open_mind(
    swarm: FakeSwarm, home: Path, *, engine: ScriptedEngine | None = None, **config: Any
) -> AsyncIterator[Mind]:
    """A mind whose post office runs."""
    settings = MindConfig(**config)
    async with open_node(swarm, home) as node:
        embedder = WordEmbedder(dimensions=256)
        async with Memory.open(node.database, embedder) as memory:
            mail, directory, hive, jobs = Mail(node), ListedTwins(), new_hive(node), Jobs(node.database, node.clock)
            await hive.load()
            model = LocalModel(None if engine else NO_MODEL_REASON)
            if engine is not None:
                checked: Engine = engine
                model.settle(checked, None)
            writer = Writer(model, node.events)
            tools = PluginHost()
            tools.register(calculator.plugin())
            colleagues = Colleagues(
                own=node.did,
                directory=directory,  # type: ignore[arg-type]
                trust=node.trust,
                mail=mail.office,
                memory=memory,
                embedder=embedder,
                writer=writer,
                recall_items=settings.recall_items,
            )
            learning = Learning(
                database=node.database,
                playbooks=hive,
                retrieval=Retrieval(embedder),
                trust=node.trust,
                tokens=settings.playbook_tokens,
                usual=settings.playbook,
                now=node.clock,
            )
            executive = Executive(
                config=settings,
                memory=memory,
                tools=tools,
                colleagues=colleagues,
                writer=writer,
                hive=hive,
                learning=learning,
                jobs=jobs,
                events=node.events,
                reputation=new_reputation(node),
            )
            async with running(mail.office.run()):
                yield Mind(
                    node,
                    mail,
                    memory,
                    embedder,
                    directory,
                    model,
                    engine,
                    writer,
                    colleagues,
                    hive,
                    learning,
                    jobs,
                    executive,
                )


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
