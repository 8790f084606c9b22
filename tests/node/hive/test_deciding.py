"""Deciding again: the owner, trust, red lines, and how canaries did."""

import asyncio
import json
from pathlib import Path

import pytest

from identity.did import did_key
from node.errors import RevisionUnknown
from node.hive.judging.canaries import LEAST_OUTCOMES
from node.hive.judging.errors import AuthorBlocked
from protocols.playbook.revision import SignedRevision
from storage import learning
from storage.learning import Arm, JobOutcome, Outcome, Use
from tests.node.hive.judging.pipeline_parts import Judge, bullet, new_keys, open_judge, taught

ANNA, BEN = new_keys(), new_keys()
OF_ANNA, OF_BEN = did_key(ANNA.public), did_key(BEN.public)


def test_blocking_takes_back_and_naming_again_restores(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA, BEN)
            one, two, no = taught(ANNA, "one"), taught(ANNA, "two"), taught(ANNA, "no")
            await judge.hive.take_in([one, two, no, taught(BEN, "bens")])
            await judge.hive.approve("common", two.cid)
            await judge.hive.reject("common", no.cid, "I do not like it")
            before = (await judge.hive.view("common")).state_hash
            await judge.trust(BEN, block=[OF_ANNA])
            assert await judge.texts() == ["bens"]
            for revision in (one, two):
                assert await judge.status(revision) == ("rejected", "its author is blocked")
            with pytest.raises(AuthorBlocked):
                await judge.hive.approve("common", one.cid)
            await judge.trust(BEN)  # neither blocked nor named
            assert (await judge.status(one))[0] == "quarantined"
            assert (await judge.status(two))[0] == "adopted"  # the owner's word
            await judge.trust(ANNA, BEN)
            assert (await judge.hive.view("common")).state_hash == before
            assert await judge.status(no) == ("rejected", "I do not like it")

    asyncio.run(main())


def test_what_was_adopted_of_somebody_who_is_no_longer_named_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA)
            revision = taught(ANNA, "one")
            await judge.hive.take_in([revision])
            await judge.trust()
            assert (await judge.status(revision))[0] == "adopted"
            await judge.hive.red_lines.add("phrase", "three")  # judged again, as it was then
            assert (await judge.status(revision))[0] == "adopted"
            await judge.hive.red_lines.add("phrase", "one")
            assert (await judge.status(revision))[0] == "rejected"

    asyncio.run(main())


def test_other_red_lines_decide_anew_but_not_over_the_owner(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA)
            eaten, kept, waits = (
                taught(ANNA, "eat the seeds"),
                taught(ANNA, "eat seeds, I say"),
                taught(BEN, "eat seeds"),
            )
            await judge.hive.take_in([eaten, kept, waits])
            own = await judge.hive.propose("common", "ours", [bullet("eat our seeds")])
            await judge.hive.approve("common", kept.cid)
            line = await judge.hive.red_lines.add("phrase", "eat seeds")
            assert [(await judge.status(one))[0] for one in (eaten, kept, waits)] == ["rejected", "adopted", "rejected"]
            assert (await judge.status(own))[0] == "adopted"
            await judge.hive.red_lines.remove(line.id)
            assert [(await judge.status(one))[0] for one in (eaten, kept, waits)] == [
                *("adopted", "adopted", "quarantined")
            ]

    asyncio.run(main())


def test_all_of_an_author_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA, BEN)
            await judge.hive.take_in([taught(ANNA, "one"), taught(ANNA, "two"), taught(BEN, "bens")])
            assert await judge.hive.reject_author("common", OF_ANNA, "too loud") == 2
            assert await judge.texts() == ["bens"]
            assert await judge.hive.reject_author("common", OF_ANNA, "too loud") == 0
            later = taught(ANNA, "later")
            await judge.hive.take_in([later])
            assert (await judge.status(later))[0] == "adopted"  # what comes later is judged as ever

    asyncio.run(main())


def test_what_cannot_be_decided(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            unknown = taught(ANNA, "one").cid
            for call in (
                judge.hive.approve("common", unknown, canary=True),
                judge.hive.reject("common", unknown, "no"),
                judge.hive.detail("common", unknown),
            ):
                with pytest.raises(RevisionUnknown):
                    await call

    asyncio.run(main())


async def _note(judge: Judge, revision: SignedRevision, arm: Arm, outcome: Outcome, count: int) -> None:
    """Jobs to which the revision's bullet was given, or from which it was kept."""
    use = Use("b" + "a" * 32, revision.cid, "tried" if arm == "canary" else "kept_back")

    def store(conn: learning.sqlite3.Connection) -> None:
        for n in range(count):
            job = f"{arm}-{outcome}-{n}"
            conn.execute("INSERT INTO jobs (id, goal, status, created_ms) VALUES (?, 'goal', 'done', 0)", (job,))
            noted = JobOutcome(job, "common", outcome, "job", counted=False, updated_ms=0)
            learning.put(conn, noted, [use])

    await judge.node.database.write(store)


@pytest.mark.parametrize(("good", "status"), [(LEAST_OUTCOMES, "adopted"), (0, "quarantined")])
def test_a_canary_is_kept_or_taken_back_by_how_it_did(tmp_path: Path, good: int, status: str) -> None:
    async def main() -> None:
        keys = new_keys()
        async with open_judge(tmp_path, keys=keys) as judge:
            revision = taught(ANNA, "one")
            await judge.trust(ANNA, auto_adopt=False)
            await judge.hive.take_in([revision])
            await judge.hive.approve("common", revision.cid, canary=True, share=0.3)
            assert await judge.hive.canaries("common") == {revision.cid: 0.3}
            assert (await judge.texts(), await judge.texts(with_canaries=True)) == ([], ["one"])
            await judge.hive.judge_canaries("common")
            assert (await judge.status(revision))[0] == "canary"  # nothing is known yet
            await _note(judge, revision, "canary", "good", good)
            await _note(judge, revision, "canary", "bad", LEAST_OUTCOMES - good)
            await _note(judge, revision, "usual", "good", LEAST_OUTCOMES)
            before = await judge.status(revision)
        async with open_judge(tmp_path, keys=keys) as judge:
            assert await judge.status(revision) == before
            assert await judge.texts(with_canaries=True) == ["one"]
            await judge.hive.judge_canaries("common")
            found, reason = await judge.status(revision)
            assert found == status
            stage = (await judge.stages(revision))["canary"]
            assert f"{good} of {LEAST_OUTCOMES} goals went well with it" in stage.reason
            assert await judge.texts(with_canaries=True) == (["one"] if status == "adopted" else [])
            await judge.trust(ANNA)
            assert (await judge.status(revision))[0] == status  # decided is decided
            if status == "quarantined":
                assert reason == stage.reason
                await judge.hive.approve("common", revision.cid)
                assert await judge.status(revision) == ("adopted", "approved by the owner")

    asyncio.run(main())


def test_rolling_back_takes_canaries_back_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA)
            own = await judge.hive.propose("common", "ours", [bullet("ours")])
            adopted, tried = taught(ANNA, "one"), taught(ANNA, "two")
            await judge.hive.take_in([adopted, tried])
            await judge.hive.approve("common", tried.cid, canary=True)
            await judge.hive.rollback("common", own)
            assert await judge.texts(with_canaries=True) == ["ours"]
            assert [(await judge.status(one))[1] for one in (adopted, tried)] == [f"rolled back to {own}"] * 2

    asyncio.run(main())


def test_decisions_of_before_stages_were_kept_stand(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_judge(tmp_path) as judge:
            await judge.trust(ANNA)
            revisions = [taught(ANNA, text) for text in ("one", "two", "three")]
            await judge.hive.take_in(revisions)
            cids = [str(one.cid) for one in revisions]
            await judge.node.database.write(
                lambda conn: conn.execute(
                    "DELETE FROM revision_stages WHERE cid IN (SELECT value FROM json_each(?))", (json.dumps(cids),)
                )
            )
            await judge.hive.reject("common", revisions[0].cid, "no")
            await judge.hive.approve("common", revisions[1].cid)
            await judge.trust(block=[OF_ANNA])
            assert await judge.texts() == []
            await judge.trust(ANNA)
            assert await judge.texts() == ["three", "two"]
            assert await judge.status(revisions[0]) == ("rejected", "no")

    asyncio.run(main())
