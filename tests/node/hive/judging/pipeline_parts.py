"""A hive that is handed revisions, without a network: what the tests of judging share."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from node.config import HiveConfig
from node.hive.hive import Hive
from node.hive.judging.gate import Attempt, NotTried
from node.inference.embedder import Embedder
from node.inference.local import LocalModel
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from storage.judging import Stage
from tests.node.inference.fake import ScriptedEngine
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Node, new_hive, new_keys, open_node, running, soon


@dataclass
class Judge:
    """One node whose hive the test hands revisions to."""

    node: Node
    hive: Hive

    async def trust(self, *allowed: KeyPair | Did, block: Sequence[Did] = (), **changes: Any) -> None:
        """The owner names exactly these, and adopts unasked unless `changes` say otherwise."""
        allow = frozenset(did_key(one.public) if isinstance(one, KeyPair) else one for one in allowed)
        values: dict[str, Any] = {"allow": allow, "block": frozenset(block), "auto_adopt": True, **changes}
        await self.node.trust.put(dataclasses.replace(self.node.trust.current, **values))

    async def status(self, signed: SignedRevision | Cid) -> tuple[str, str]:
        """Status and reason."""
        cid = signed if isinstance(signed, Cid) else signed.cid
        row = (await self.hive.detail("common", cid)).row
        return row.status, row.reason or ""

    async def stages(self, signed: SignedRevision | Cid) -> Mapping[str, Stage]:
        cid = signed if isinstance(signed, Cid) else signed.cid
        return {stage.name: stage for stage, _ in (await self.hive.detail("common", cid)).stages}

    async def texts(self, *, with_canaries: bool = False) -> list[str]:
        """The bullets as they are shown."""
        return sorted(one.bullet.text for one in await self.hive.lessons("common", with_canaries=with_canaries))

    async def until(self, signed: SignedRevision, status: str) -> str:
        """Wait until a revision has a status, and for what reason."""

        async def wait() -> str:
            while True:
                found, reason = await self.status(signed)
                if found == status:
                    return reason
                await asyncio.sleep(0.001)

        return await soon(wait())


@asynccontextmanager
async def open_judge(
    home: Path,
    *,
    swarm: FakeSwarm | None = None,
    keys: KeyPair | None = None,
    config: HiveConfig | None = None,
    attempt: Attempt | None = None,
    embedder: Embedder | None = None,
    run: bool = False,
) -> AsyncIterator[Judge]:
    """With an `attempt` the node has a model; with `run` trials are held."""

    async def nobody(goal: str, bullets: Sequence[str]) -> str:
        raise NotTried("there is no model in this test")

    model = LocalModel(None if attempt else "no model was chosen")
    if attempt:
        model.settle(ScriptedEngine(), None)
    async with open_node(swarm or FakeSwarm(), home, keys=keys) as node:
        judge = Judge(node, new_hive(node, config=config, embedder=embedder, model=model, attempt=attempt or nobody))
        await judge.hive.load()
        if not run:
            yield judge
            return
        async with running(node.gossip.run(), judge.hive.run()):
            yield judge


def bullet(text: str, section: str = "manners") -> dict[str, object]:
    return {"op": "add", "section": section, "text": text, "tags": []}


def taught(
    keys: KeyPair, *items: str | Mapping[str, object], critique: str = "because", ts: int = START_MS
) -> SignedRevision:
    """A revision by `keys` that adds these texts, or does these operations."""
    author = did_key(keys.public)
    ops = [bullet(item) if isinstance(item, str) else item for item in items]
    made = new_ops(ops, author=author, height=1)
    return sign_revision(Revision("common", (), 1, author, ts, critique, (), made), keys)


__all__ = ["Judge", "bullet", "new_keys", "open_judge", "taught"]
