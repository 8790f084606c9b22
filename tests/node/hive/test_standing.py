"""Authors that the owner did not name: their standing decides, and only where the owner lowered the threshold."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from node.mind.jobs.ending import ANSWER_WEIGHT
from node.reputation.standing import DOUBT
from tests.node.hive.test_hive import BULLET, Member, open_members
from tests.node.mind.assembly import open_pair
from tests.node.parts import new_reputation


async def _let_in(member: Member, threshold: float) -> None:
    trust = member.node.trust
    await trust.put(replace(trust.current, allow=frozenset(), auto_adopt=True, reputation_threshold=threshold))


def test_a_stranger_of_good_standing_teaches_once_the_owner_lets_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            await _let_in(b, 0.5)
            for task in ("one", "two"):
                await new_reputation(b.node).note(a.node.did, "receipt", task, good=1.0)
            cid = await a.propose("taught")
            assert await b.until_judged(cid) == "adopted"
            assert await b.texts() == {"taught"}

    asyncio.run(main())


def test_a_standing_below_the_threshold_makes_us_store_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            await _let_in(b, 0.5)
            await new_reputation(b.node).note(a.node.did, "receipt", "one", good=1.0)
            cid = await a.propose("not taught")
            while not b.hive.counters["updates_not_followed"]:  # noqa: ASYNC110 - counters tell nobody that they grew
                await asyncio.sleep(0.001)
            assert await b.status(cid) is None

    asyncio.run(main())


def test_counting_a_bullet_is_an_experience_with_its_author(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            await b.node.name(a.node)
            await b.until_judged(await a.propose("useful"))
            (bullet,) = (await b.hive.view("common")).bullets
            for op in ("helpful", "harmful"):
                await b.hive.propose("common", "it was used", [{"op": op, "id": bullet.id, "n": 3}])
            (term,) = (await new_reputation(b.node).of(a.node.did)).terms
            assert (term.source, term.good, term.bad) == ("bullet", 0.3, 0.3)
            own = (await a.hive.view("common")).bullets[0]
            await a.hive.propose("common", "mine", [BULLET | {"text": "more"}, {"op": "helpful", "id": own.id}])
            assert (await new_reputation(a.node).of(a.node.did)).terms == ()  # nobody has experience with oneself

    asyncio.run(main())


def test_a_count_that_a_stop_kept_from_the_disk_is_no_experience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            await b.node.name(a.node)
            await b.until_judged(await a.propose("useful"))
            (bullet,) = (await b.hive.view("common")).bullets

            async def stop(*_: object, **__: object) -> bool:
                raise asyncio.CancelledError

            async def count() -> None:
                await b.hive.propose("common", "it was used", [{"op": "helpful", "id": bullet.id, "n": 3}])

            with monkeypatch.context() as patch:
                patch.setattr(b.hive._effective, "take", stop)
                with pytest.raises(asyncio.CancelledError):
                    await count()
            b.node.clock.advance(1)
            await count()
            (term,) = (await new_reputation(b.node).of(a.node.did)).terms
            assert (term.good, term.bad) == (0.3, 0.0)

    asyncio.run(main())


def test_an_answer_that_served_is_an_experience_with_who_gave_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            await b.remember("flour mill tonnes two")
            assert (await a.executive.interact("flour mill tonnes")).status == "done"
            found = await new_reputation(a.node).of(b.node.did)
            assert found.score == round(ANSWER_WEIGHT / (ANSWER_WEIGHT + DOUBT), 4)

    asyncio.run(main())
