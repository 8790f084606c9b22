"""Reputations over a real database."""

import asyncio
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from identity.did import Did, did_key
from identity.keys import KeyPair
from node.reputation.standing import Attestation
from storage import experiences
from storage.experiences import MAX_EXPERIENCES_PER_TWIN, Experience
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_reputation, open_node


def _did() -> Did:
    return did_key(KeyPair(os.urandom(32)).public)


def test_what_was_noted_twice_counts_once_and_is_claimed_with_its_evidence(tmp_path: Path) -> None:
    async def main() -> None:
        bela = _did()
        async with open_node(FakeSwarm(), tmp_path) as node:
            reputation = new_reputation(node)
            await reputation.note(bela, "receipt", "cid-1", good=1.0)
            await reputation.note(bela, "receipt", "cid-1", good=1.0)
            await reputation.note(bela, "answer", "job-1", good=0.5, bad=1.0)
            claims = await reputation.claims(bela)
            assert claims["reputationScore"] == round(1.5 / (1.5 + 3 + 2), 4)
            assert {"kind": "receipt", "evidence": "cid-1", "helpful": True} in claims["contributions"]
            assert {"kind": "answer", "evidence": "job-1", "helpful": False} in claims["contributions"]

    asyncio.run(main())


def test_what_is_claimed_rests_on_no_hearsay(tmp_path: Path) -> None:
    async def main() -> None:
        bela, carl = _did(), _did()
        async with open_node(FakeSwarm(), tmp_path) as node:
            await node.trust.put(replace(node.trust.current, allow=frozenset({carl})))
            reputation = new_reputation(node, [(bela, Attestation(carl, 1.0, 5, node.clock(), "urn:1"))])
            assert (await reputation.of(bela)).score > 0
            assert (await reputation.claims(bela))["reputationScore"] == 0.0
            assert set(await reputation.scores()) == {bela}

    asyncio.run(main())


def test_of_each_twin_only_so_much_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        bela = _did()
        async with open_node(FakeSwarm(), tmp_path) as node:

            def many(conn: sqlite3.Connection) -> None:
                for n in range(MAX_EXPERIENCES_PER_TWIN + 40):
                    experiences.note(conn, Experience(bela, "answer", str(n), 1.0, 0.0, n))

            await node.database.write(many)
            kept = await node.database.read(lambda conn: experiences.of_twin(conn, bela))
            assert len(kept) == MAX_EXPERIENCES_PER_TWIN
            assert kept[0].ref == str(MAX_EXPERIENCES_PER_TWIN + 39)

    asyncio.run(main())


def test_bad_deeds_are_not_pushed_out_by_many_small_favours(tmp_path: Path) -> None:
    async def main() -> None:
        bela = _did()
        async with open_node(FakeSwarm(), tmp_path) as node:

            def many(conn: sqlite3.Connection) -> None:
                experiences.note(conn, Experience(bela, "receipt", "betrayal", 0.0, 1.0, 0))
                for n in range(MAX_EXPERIENCES_PER_TWIN + 40):
                    experiences.note(conn, Experience(bela, "bullet", str(n), 0.1, 0.0, n))

            await node.database.write(many)
            kept = await node.database.read(lambda conn: experiences.of_twin(conn, bela))
            assert len(kept) == MAX_EXPERIENCES_PER_TWIN
            assert kept[-1].ref == "betrayal"

    asyncio.run(main())


def test_a_successor_takes_over_what_was_seen(tmp_path: Path) -> None:
    async def main() -> None:
        old, new = _did(), _did()
        async with open_node(FakeSwarm(), tmp_path) as node:
            reputation = new_reputation(node)
            await reputation.note(old, "receipt", "1", good=1.0)
            await node.database.write(lambda conn: experiences.succeed(conn, old, new))
            assert (await reputation.of(old)).score == 0.0
            assert (await reputation.of(new)).score > 0.0

    asyncio.run(main())
