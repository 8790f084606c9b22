"""Successions that go round, or on without end: what a twin that the owner named can make of its own keys."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from identity.keys import KeyPair
from protocols import limits
from tests.node.dids.test_succession import Follower, did, run
from tests.node.parts import Watch, new_keys, soon


@pytest.mark.parametrize("length", [2, 3, 8, 9, 10, 17, 40])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_circle_of_any_length_ends(tmp_path: Path, length: int, backwards: bool) -> None:
    ring: Sequence[KeyPair] = [new_keys() for _ in range(length)]

    async def test(follower: Follower, watch: Watch) -> None:
        edges = [*pairwise(ring), (ring[-1], ring[0])]
        if backwards:
            edges.reverse()
        await follower.trusts(allow=[ring[0]])
        for old, new in edges:
            await soon(follower.hears(old, new, by=new_keys()))
        await soon(follower.successions.load())
        events = await follower.node.events.log(500)
        assert len(events.items) <= length
        (name,) = follower.lists[0]
        assert name in {did(key) for key in ring}

    run(tmp_path, test)


def test_a_chain_without_end_is_followed_to_its_end(tmp_path: Path) -> None:
    chain = [new_keys() for _ in range(600)]

    async def test(follower: Follower, watch: Watch) -> None:
        for old, new in reversed(list(pairwise(chain))):
            await follower.hears(old, new, by=new_keys())
        await soon(follower.trusts(allow=[chain[0]]))
        assert follower.lists[0] == {did(chain[-1])}
        assert len(chain) > 8 * limits.MAX_SUCCESSION_STEPS

    run(tmp_path, test)
