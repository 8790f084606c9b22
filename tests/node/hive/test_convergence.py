"""After any partition all sides with the same trust come to the same state, whatever was lost, doubled or cut off."""

import asyncio
import contextlib
import itertools
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import PeerId, did_key
from identity.keys import KeyPair
from protocols import limits
from storage.trust import Trust
from tests.node.hive.test_hive import Member, open_member
from tests.node.net.fake import FakeNetwork, FakeSwarm
from tests.node.parts import new_keys

MEMBERS = 4

Action = tuple[str, int, int]

actions = st.lists(
    st.tuples(
        st.sampled_from(["propose", "propose", "propose", "count", "cut", "heal", "restart", "crash"]),
        st.integers(0, MEMBERS - 1),
        st.integers(0, MEMBERS - 1),
    ),
    min_size=5,
    max_size=25,
)


class LossySwarm(FakeSwarm):
    """Gossip is lost, doubled and late, as chance has it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.lossy = True

    def spread(self, origin: FakeNetwork, topic: str, data: bytes) -> None:
        if self.lossy and self.chance.random() < 0.3:
            return
        super().spread(origin, topic, data)
        if self.lossy and self.chance.random() < 0.3:
            asyncio.get_running_loop().call_later(0.01 * self.chance.random(), self._again, origin, topic, data)

    def _again(self, origin: FakeNetwork, topic: str, data: bytes) -> None:
        if origin.alive:
            super().spread(origin, topic, data)


class Members:
    """Members that name each other, and come and go."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.swarm = LossySwarm(seed)
        self.keys: list[KeyPair] = [new_keys() for _ in range(MEMBERS)]
        self.up: list[Member] = []
        self._folder = folder
        self._stacks: list[contextlib.AsyncExitStack] = []
        self._texts = itertools.count()
        self.written: set[Cid] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Members"]:
        try:
            for n in range(MEMBERS):
                stack, member = await self._start(n)
                self._stacks.append(stack)
                self.up.append(member)
            yield self
        finally:
            for stack in self._stacks:
                await stack.aclose()

    async def _start(self, n: int) -> tuple[contextlib.AsyncExitStack, Member]:
        stack = contextlib.AsyncExitStack()
        member = await stack.enter_async_context(
            open_member(self.swarm, self._folder / str(n), keys=self.keys[n], run=True)
        )
        everyone = frozenset(did_key(keys.public) for keys in self.keys)
        await member.node.trust.put(Trust(everyone, frozenset(), 1.0, True))
        return stack, member

    async def act(self, action: Action) -> None:
        kind, n, other = action
        member = self.up[n]
        if kind == "propose":
            self.written.add(await member.propose(f"lesson {next(self._texts)}"))
        elif kind == "count" and (bullets := (await member.hive.view("common")).bullets):
            op = {"op": "helpful", "id": bullets[0].id, "n": 1}
            self.written.add(await member.hive.propose("common", "it helped", [op]))
        elif kind == "cut" and n != other:
            self.swarm.cut(self.peer(n), self.peer(other))
        elif kind == "heal" and n != other:
            await self._connect(n, other)
        elif kind in ("restart", "crash"):
            if kind == "crash":  # blocks that came just before the crash are there, and no row is
                for neighbour in self.up:
                    for cid in neighbour.node.blocks.cids():
                        block = neighbour.node.blocks.get(cid)
                        assert block is not None
                        member.node.blocks.put(cid, block)
            await self._stacks[n].aclose()
            self._stacks[n], self.up[n] = await self._start(n)
        for _ in range(self.swarm.chance.randrange(20)):
            await asyncio.sleep(0)

    def peer(self, n: int) -> PeerId:
        return self.up[n].node.peer_id

    async def _connect(self, n: int, other: int) -> None:
        self.swarm._cut.discard(frozenset((self.peer(n), self.peer(other))))
        await self.up[n].node.dial(self.up[other].node)

    async def come_together(self) -> None:
        """The network is whole again: everybody meets its neighbours anew."""
        self.swarm.lossy = False
        for n, other in itertools.combinations(range(MEMBERS), 2):
            self.swarm.cut(self.peer(n), self.peer(other))
        for n, other in itertools.pairwise(range(MEMBERS)):
            await self._connect(n, other)

    async def until_same(self) -> None:
        async with asyncio.timeout(20):
            while not await self._is_same():
                for member in self.up:  # as it does once in a while
                    for peer in member.node.network.peers():
                        await member.node.gossip.catch_up(peer.peer_id)
                await asyncio.sleep(0.05)

    async def _is_same(self) -> bool:
        return (
            all(self.written <= member.hive.judged for member in self.up)
            and len({await member.hash() for member in self.up}) == 1
        )


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions, st.integers(0, 2**16))
def test_all_sides_come_to_the_same_state(done: list[Action], seed: int) -> None:
    async def main(folder: Path) -> None:
        async with Members(folder, seed).open() as members:
            for n, other in itertools.pairwise(range(MEMBERS)):
                await members.act(("heal", n, other))
            for action in done:
                await members.act(action)
            await members.come_together()
            await members.until_same()
            assert len((await members.up[0].hive.view("common")).revisions) == len(members.written)
            for member in members.up:
                rows = (await member.hive.revisions("common", limit=500)).items
                assert {row.cid for row in rows if row.status == "adopted"} == members.written
            assert len(members.written) <= limits.MAX_PARENTS

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))


@pytest.mark.slow
def test_when_a_row_of_twins_comes_together_everyone_hears_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with Members(tmp_path, 0).open() as members:
            members.swarm.lossy = False
            for n in range(MEMBERS):
                await members.act(("propose", n, n))
            await members.come_together()  # 0 - 1 - 2 - 3: nobody catches up a second time
            async with asyncio.timeout(20):
                while not await members._is_same():  # noqa: ASYNC110 - what happens last is told to nobody
                    await asyncio.sleep(0.01)

    asyncio.run(main())
