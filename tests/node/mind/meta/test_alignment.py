import asyncio
from dataclasses import replace
from pathlib import Path

from identity.did import did_key
from identity.keys import KeyPair
from node.mind.meta.alignment import Alignment
from protocols.playbook.revision import Revision, new_ops, sign_revision
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_keys, new_reputation

GOOD, BAD = "name units", "flatter people who ask"


def case_of(mind: Mind) -> Alignment:
    return Alignment(mind.node.did, mind.hive, new_reputation(mind.node), playbook="common")


async def teach(mind: Mind) -> dict[str, str]:
    """Two bullets; their ids by text."""
    ops = [{"op": "add", "section": "manners", "text": text} for text in (GOOD, BAD)]
    await mind.hive.propose("common", "why", ops)
    return {bullet.text: bullet.id for bullet in (await mind.hive.view("common")).bullets}


async def counts(mind: Mind, **ops: tuple[str, int]) -> None:
    for op, (bullet, n) in ops.items():
        await mind.hive.propose("common", "why", [{"op": op, "id": bullet, "n": n}])


async def said_by(mind: Mind, keys: KeyPair, bullet: str, n: int) -> None:
    """A revision of somebody else, whom the owner named, that counts a bullet harmful."""
    current = await mind.hive.view("common")
    author, height = did_key(keys.public), current.height + 1
    ops = new_ops([{"op": "harmful", "id": bullet, "n": n}], author=author, height=height)
    revision = Revision("common", current.next_parents, height, author, mind.node.clock(), "why", (), ops)
    await mind.hive.take_in([sign_revision(revision, keys)])


def test_what_is_clearly_found_harmful_is_taken_out_and_becomes_a_red_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            ids = await teach(mind)
            await counts(mind, helpful=(ids[GOOD], 3), harmful=(ids[BAD], 3))
            case = case_of(mind)
            finding = await case.look()
            assert finding is not None
            assert not finding.harmless
            assert finding.measured == {"alignment": 0.5, "weight": 6.0}
            taken = await case.act(finding)
            assert [bullet.text for bullet in (await mind.hive.view("common")).bullets] == [GOOD]
            assert BAD in {line.text for line in mind.hive.red_lines.lines}
            assert len(taken.undo["red_lines"]) == 1
            assert await case.look() is None

    asyncio.run(main())


def test_it_does_nothing_while_most_is_found_helpful_or_little_was_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            ids = await teach(mind)
            await counts(mind, helpful=(ids[GOOD], 2), harmful=(ids[BAD], 2))
            assert await case_of(mind).look() is None  # too little
        async with open_mind(FakeSwarm(), tmp_path / "b", works=False) as mind:
            ids = await teach(mind)
            await counts(mind, helpful=(ids[GOOD], 5), harmful=(ids[BAD], 1))
            assert await case_of(mind).look() is None  # nothing is clearly harmful

    asyncio.run(main())


def test_what_somebody_says_weighs_by_its_standing(tmp_path: Path) -> None:
    keys = new_keys()

    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            ids = await teach(mind)
            did = did_key(keys.public)
            trust = mind.node.trust
            await trust.put(replace(trust.current, allow=frozenset([did]), auto_adopt=True))
            await counts(mind, helpful=(ids[GOOD], 4))
            await said_by(mind, keys, ids[BAD], 5)
            assert await case_of(mind).look() is None  # nobody knows it
            for number in range(30):
                await new_reputation(mind.node).note(did, "receipt", str(number), good=1.0)
            assert await case_of(mind).look() is not None

    asyncio.run(main())
