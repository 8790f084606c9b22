"""Forgetting: what goes with what, what stays, and that nothing is left on disk."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from identity.did import Did
from node.memory.documents.documents import Documents
from node.memory.errors import NothingNamed
from node.memory.forgetting import Forgetting, Target
from node.memory.memory import Memory
from node.memory.noticing import Noticing
from node.memory.record import NewMemory
from node.memory.working import WorkingMemory
from storage import checks, jobs, mailbox, meta, meta_learning
from storage.database import Database
from tests.node.memory.test_consolidation import IDLE_S, Clock, consolidation
from tests.node.memory.test_memory import memory_at

SECRET = "The safe behind the Vermeer opens with heliotrope"


def run(path: Path, test: Callable[[Memory, Forgetting], Awaitable[None]]) -> None:
    async def main() -> None:
        async with memory_at(path) as memory:
            await test(memory, Forgetting(memory))

    asyncio.run(main())


def left_on_disk(folder: Path, text: str) -> list[str]:
    """The files that have any long word of the text, in any case."""
    words = [word.lower().encode() for word in text.split() if len(word) > 6]
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(word in path.read_bytes().lower() for word in words)
    ]


async def seqs(memory: Memory, memory_id: str) -> list[int]:
    row = await memory.get(memory_id)
    assert row is not None
    return [row.seq]


async def contents(memory: Memory) -> set[str]:
    return {row.content for row in (await memory.list(limit=500)).items}


def test_by_id_it_is_gone_for_good_whoever_said_it_again(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        ids = [await memory.add(kind="semantic", content=SECRET) for _ in range(3)]
        other = await memory.add(kind="semantic", content="The bridge is green")
        await consolidation(memory).consolidate()
        done = await forgetting.forget(Target(ids=(ids[0],)))
        assert (done.named, done.also) == (1, 2)
        assert await contents(memory) == {"The bridge is green"}
        assert [one.id for one in await memory.search("safe heliotrope", k=9)] == [other]
        assert left_on_disk(tmp_path, SECRET) == []  # while it runs, the log and the shared memory included
        assert (await forgetting.forget(Target(ids=(ids[0],)))).named == 0

    run(tmp_path, test)
    assert left_on_disk(tmp_path, SECRET) == []


def test_a_fact_goes_with_the_turn_it_was_told_in_and_with_what_was_made_of_that(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        clock = Clock()
        memory._now = clock
        working = WorkingMemory(memory, ttl_s=1e6, now=clock)
        said = f"My sister is Heliotrope. {SECRET}."
        turn = await working.append("s1", "user", said)
        fact, _ = (await Noticing(memory).heard(said, turn_id=turn, session_id="s1"))[0]
        await working.append("s1", "user", "I also like the green bridge.")
        clock.ms += int(IDLE_S * 1000)
        await consolidation(memory, clock=clock).consolidate()
        assert any("Vermeer" in text for text in await contents(memory))
        done = await forgetting.forget(Target(ids=(fact,)))
        assert (done.named, done.also) == (1, 2)  # the turn and the episode
        assert await contents(memory) == {"I also like the green bridge."}
        assert left_on_disk(tmp_path, SECRET) == []
        await consolidation(memory, clock=clock).consolidate()  # the other turn becomes an episode again
        assert [row.content for row in (await memory.list(kind="episodic")).items] == ["I also like the green bridge."]

    run(tmp_path, test)


def test_a_fact_takes_its_episode_along_also_when_the_turns_are_over_their_time(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        clock = Clock()
        memory._now = clock
        working = WorkingMemory(memory, ttl_s=1, now=clock)
        said = f"My sister is Heliotrope. {SECRET}."
        turn = await working.append("s1", "user", said)
        fact, _ = (await Noticing(memory).heard(said, turn_id=turn, session_id="s1"))[0]
        await Noticing(memory).heard("I prefer tea.", turn_id=turn, session_id="s1")
        clock.ms += int(IDLE_S * 1000)
        assert (await consolidation(memory, clock=clock).consolidate()).expired == 1
        assert await memory.get(turn) is None
        await forgetting.forget(Target(ids=(fact,)))
        assert await contents(memory) == {"I prefer tea"}
        assert left_on_disk(tmp_path, SECRET) == []

    run(tmp_path, test)


def test_a_document_of_which_nothing_is_left_is_not_known_any_more(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        documents = Documents(memory.database, memory)
        for name, namespace in (("a", "domain"), ("b", "domain"), ("c", "shared")):
            text = "\n\n".join(
                f"Of the {name} mill somebody tells here at length the thing number {n}." for n in (1, 2)
            )
            await documents.take(text.encode(), source=f"/{name}.md", namespace=namespace)
        piece = (await memory.list(source="/c.md")).items[0]
        await forgetting.forget(Target(ids=(piece.id,)))
        await forgetting.forget(Target(namespace="domain"))
        assert [row.source for row in (await documents.list(9)).items] == ["/c.md"]
        await forgetting.forget(Target(namespace="shared"))
        assert (await documents.list(9)).items == ()

    run(tmp_path, test)


def test_as_many_as_are_about_it_are_named(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        notes = [NewMemory(kind="semantic", content=f"My sister Ana was in room {n}") for n in range(60)]
        await memory.add_many(notes)
        assert len(await forgetting.about("sister Ana")) == 60

    run(tmp_path, test)


def test_what_was_learnt_of_goals_is_forgotten_with_them(tmp_path: Path) -> None:
    """Checks made of answers, examples of harmless goals, and what the meta-learner found and did."""
    told = f"is it true that {SECRET}?"

    async def test(memory: Memory, forgetting: Forgetting) -> None:
        memory_id = await memory.add(kind="semantic", content=SECRET)

        def work(conn: sqlite3.Connection) -> None:
            jobs.put_job(conn, "rests", "what opens it", None, "done", 1)
            output = f'{{"memories":["{memory_id}"]}}'.encode()
            jobs.put_step(conn, "rests", 1, "respond", b"{}", output, 1.0)
            for goal, expected, origin in (
                (told, "yes", "history"),
                ("and how does it open", SECRET, "history"),
                ("what opens it", "a flower", "history"),
                ("how high is the bridge", "90 metres", "history"),
                (f"of my own: {SECRET}", "yes", "owner"),
            ):
                checks.put(
                    conn,
                    check_id=goal,
                    playbook="p",
                    goal=goal,
                    expected=expected,
                    origin=origin,  # type: ignore[arg-type]
                    created_ms=1,
                )
            meta_learning.set_tuning(conn, "harmless", [told, "how do I kill a process"])
            meta_learning.set_tuning(conn, "max_depth", 4)
            for name, needs, undo in (
                ("refusals", {"goals": [told, "how do I kill a process"]}, {"tuning": ["harmless", [told]], "now": []}),
                ("novel-task", {"goal": told, "playbooks": ["a", "b"]}, {}),
                ("transfer", {"rules": [["s", "Say it plainly."]]}, {}),
            ):
                meta_learning.put(
                    conn,
                    meta_learning.MetaAction(
                        id=name,
                        matter=name,
                        about="a",
                        state="done",
                        finding="f",
                        action="a",
                        measured={},
                        needs=needs,
                        undo=undo,
                        ts_ms=1,
                        updated_ms=1,
                    ),
                )

        await memory.database.write(work)
        followed = []

        async def follow() -> None:
            followed.append(await memory.database.read(meta_learning.tuning))

        forgetting.then(follow)
        await forgetting.forget(Target(ids=(memory_id,)))
        assert followed == [{"harmless": ["how do I kill a process"], "max_depth": 4}]
        left = await memory.database.read(lambda conn: checks.of_playbook(conn, "p"))
        assert [check.goal for check in left] == ["how high is the bridge", f"of my own: {SECRET}"]
        actions = await memory.database.read(lambda conn: meta_learning.with_states(conn, ["done"]))
        assert [(one.needs, one.undo) for one in actions] == [
            ({"goals": ["how do I kill a process"]}, {"tuning": ["harmless", []], "now": []}),
            ({"goal": "(forgotten)", "playbooks": ["a", "b"]}, {}),
            ({"rules": [["s", "Say it plainly."]]}, {}),
        ]

    run(tmp_path, test)


def test_tasks_for_others_and_traces_that_were_written_are_told(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        memory_id = await memory.add(kind="semantic", content=SECRET)
        (tmp_path / "exports").mkdir()
        (tmp_path / "exports" / "traces-1.jsonl").write_text(json.dumps({"messages": [{"content": SECRET}]}))
        (tmp_path / "exports" / "traces-2.jsonl").write_text(json.dumps({"messages": [{"content": "bridge"}]}))
        insert = (
            "INSERT INTO tasks (id, requester, task, requirements, created_ms, deadline_ms, status)"
            " VALUES ('t1', 'did:key:z6MkUs', ?, '[]', 1, 1, 'done')"
        )
        await memory.database.write(lambda conn: conn.execute(insert, (f"Check that {SECRET}",)))
        held = (await forgetting.preview(Target(ids=(memory_id,)))).held
        assert [(one.what, one.name) for one in held] == [
            ("task", "t1"),
            ("export", str(tmp_path / "exports" / "traces-1.jsonl")),
        ]

    run(tmp_path, test)


def test_a_source_goes_and_what_is_known_from_elsewhere_stays(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        told = await memory.add(kind="semantic", content="The mill closes at 5", source="told")
        await memory.add_many(
            [
                NewMemory(kind="semantic", content=text, source=source)
                for text, source in (
                    ("The mill closes at 5.", "/docs/mill.md"),
                    ("The mill has a cat", "/docs/mill.md"),
                    ("The bridge is green", "/docs/bridge.md"),
                    ("The docs are elsewhere", "/docs2/x.md"),
                )
            ]
        )
        await consolidation(memory).consolidate()
        assert [one.source for one in await memory.search("mill closes", k=1)] == ["/docs/mill.md"]
        done = await forgetting.forget(Target(source="/docs/mill.md"))
        assert (done.named, done.also) == (2, 0)
        assert [one.id for one in await memory.search("mill closes", k=1)] == [told]
        await forgetting.forget(Target(source="/docs/"))
        assert await contents(memory) == {"The mill closes at 5", "The docs are elsewhere"}

    run(tmp_path, test)


def test_a_namespace_a_session_and_a_time(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        await memory.add_many(
            [
                NewMemory(kind="semantic", content="a", namespace="ask", happened_ms=10**9),
                NewMemory(kind="semantic", content="b", session_id="s1", happened_ms=2 * 10**9),
                NewMemory(kind="episodic", content="c", session_id="s1", namespace="ask", happened_ms=3 * 10**9),
                NewMemory(kind="episodic", content="d", happened_ms=4 * 10**9),
            ]
        )
        assert (await forgetting.preview(Target(session_id="s1", namespace="ask"))).named == 1
        assert await contents(memory) == {"a", "b", "c", "d"}  # that was only a look
        await forgetting.forget(Target(session_id="s1", namespace="ask"))
        assert await contents(memory) == {"a", "b", "d"}
        await forgetting.forget(Target(from_ms=35 * 10**8, to_ms=5 * 10**9))
        assert await contents(memory) == {"a", "b"}
        await forgetting.forget(Target(namespace="ask"))
        await forgetting.forget(Target(session_id="s1"))
        assert await contents(memory) == set()
        with pytest.raises(NothingNamed):
            await forgetting.forget(Target())
        with pytest.raises(NothingNamed):
            await forgetting.preview(Target())

    run(tmp_path, test)


def test_a_query_names_what_is_about_it(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        ids = await memory.add_many(
            [
                NewMemory(kind="semantic", content="My sister is Ana"),
                NewMemory(kind="semantic", content="at the harbour fair it was Ana who won the goose, says my sister"),
                NewMemory(kind="semantic", content="My brother is Tom", namespace="ask"),
            ]
        )
        assert {row.id for row in await forgetting.about("sister Ana")} == set(ids[:2])
        assert {row.id for row in await forgetting.about("brother Tom", namespace="ask")} == {ids[2]}
        assert await forgetting.about("brother Tom", namespace="private") == []

    run(tmp_path, test)


def test_jobs_that_told_it_are_emptied_and_others_stay(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        memory_id = await memory.add(kind="semantic", content=SECRET)

        def work(conn: sqlite3.Connection) -> None:
            for name, goal, answer, output, status in (
                ("quotes", "how does it open", f"As I recall: {SECRET.upper()}!", b"{}", "done"),
                ("rests", "and again", "with a flower", f'{{"memories":["{memory_id}"]}}'.encode(), "done"),
                ("other", "how high is the bridge", "90 metres", b"{}", "done"),
                ("open", SECRET, None, b"{}", "running"),
            ):
                jobs.put_job(conn, name, goal, None, status, 1)
                jobs.put_step(conn, name, 1, "respond", b"{}", output, 1.0)
                conn.execute("UPDATE jobs SET status = ?, answer = ? WHERE id = ?", (status, answer, name))
                jobs.add_log(conn, name, 1, "info", goal)

        await memory.database.write(work)
        done = await forgetting.forget(Target(ids=(memory_id,)))
        assert done.jobs == 2
        assert [(held.what, held.name) for held in done.held] == [("job", "open")]

        def read(conn: sqlite3.Connection) -> list[tuple[str, str | None]]:
            return [
                (job.goal, job.answer) for name in ("quotes", "rests", "other") if (job := jobs.get_job(conn, name))
            ]

        assert await memory.database.read(read) == [
            ("(forgotten)", None),
            ("(forgotten)", None),
            ("how high is the bridge", "90 metres"),
        ]
        log = await memory.database.read(lambda conn: jobs.job_log(conn, "quotes", limit=9))
        assert log.items == ()

    run(tmp_path, test)


@pytest.mark.parametrize("consolidated", [False, True])
def test_answers_that_told_it_are_gone_from_other_conversations(tmp_path: Path, consolidated: bool) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        clock = Clock()
        memory._now = clock
        working = WorkingMemory(memory, ttl_s=1, now=clock)
        fact = await memory.add(kind="semantic", content=SECRET)
        asked, answer = "How is it opened?", f"{SECRET}\n(from memory {fact})"
        turn = await working.append("s2", "user", asked)
        await memory.add_made_from(
            [tea := NewMemory(kind="semantic", content="I prefer tea")], await seqs(memory, turn)
        )
        await working.append("s2", "assistant", answer)
        await working.append("s3", "user", asked)

        def work(conn: sqlite3.Connection) -> None:
            jobs.put_job(conn, "rests", asked, "s2", "done", 1)
            jobs.put_step(conn, "rests", 1, "respond", b"{}", f'{{"memories":["{fact}"]}}'.encode(), 1.0)
            conn.execute("UPDATE jobs SET answer = ?", (answer,))

        await memory.database.write(work)
        if consolidated:
            clock.ms += int(IDLE_S * 1000)
            assert (await consolidation(memory, clock=clock).consolidate()).expired == 3
        await forgetting.forget(Target(ids=(fact,)))
        assert await contents(memory) == {asked, tea.content}
        assert {row.session_id for row in (await memory.list()).items} == {"s3", None}
        assert left_on_disk(tmp_path, SECRET) == []

    run(tmp_path, test)


def test_by_source_the_answers_go_and_what_the_owner_said_stays(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        working = WorkingMemory(memory, ttl_s=1e6)
        await memory.add_many([NewMemory(kind="semantic", content=SECRET, source="/safe.md")])
        await working.append("s2", "user", f"Is it so that {SECRET}?")
        await working.append("s2", "assistant", f"{SECRET}\n(from memory 1)")
        await forgetting.forget(Target(source="/safe.md"))
        assert await contents(memory) == {f"Is it so that {SECRET}?"}

    run(tmp_path, test)


def test_what_cannot_be_reached_is_told(tmp_path: Path) -> None:
    async def test(memory: Memory, forgetting: Forgetting) -> None:
        cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
        memory_id = (await memory.add_many([NewMemory(kind="semantic", content=SECRET, source=f"ipfs:{cid}")]))[0]

        def mail(conn: sqlite3.Connection) -> None:
            mailbox.put_inbound(
                conn,
                message_id="m1",
                from_did=Did("did:key:z6MkOther"),
                to_did=Did("did:key:z6MkUs"),
                type="https://didcomm.org/basicmessage/2.0/message",
                thid=None,
                plaintext=f'{{"body": {{"content": "{SECRET}"}}}}'.encode(),
                created_time=1,
                received_ms=1,
            )

        await memory.database.write(mail)
        (tmp_path / "node.db.schema-3.bak").write_bytes(b"")
        held = (await forgetting.preview(Target(ids=(memory_id,)))).held
        assert [(one.what, one.name) for one in held] == [
            ("content", cid),
            ("message", "m1"),
            ("backup", str(tmp_path / "node.db.schema-3.bak")),
        ]

    run(tmp_path, test)


def test_a_crash_before_the_files_were_cleared_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crashing(memory: Memory, forgetting: Forgetting) -> None:
        memory_id = await memory.add(kind="semantic", content=SECRET)

        async def dies(*args: object) -> None:
            raise ConnectionAbortedError

        with monkeypatch.context() as patch:
            patch.setattr(Database, "maintain", dies)
            with pytest.raises(ConnectionAbortedError):
                await forgetting.forget(Target(ids=(memory_id,)))

    async def after(memory: Memory, forgetting: Forgetting) -> None:
        assert await memory.database.read(lambda conn: meta.get(conn, "forgetting"))
        with closing(sqlite3.connect(tmp_path / "node.db")) as other:  # a copy of which SQLite does not know any more
            other.execute("PRAGMA secure_delete = OFF")
            other.execute("CREATE TABLE moved (text TEXT)")
            other.execute("INSERT INTO moved VALUES (?)", (SECRET,))
            other.execute("DROP TABLE moved")
            other.commit()
        await forgetting.run()
        assert not await memory.database.read(lambda conn: meta.get(conn, "forgetting"))
        assert left_on_disk(tmp_path, SECRET) == []

    run(tmp_path, crashing)
    run(tmp_path, after)


@pytest.mark.slow
def test_nothing_is_left_however_much_the_database_has_been_through(tmp_path: Path) -> None:
    """Rows that moved between pages left copies where SQLite no longer knows of them: see storage/leftovers.py."""

    async def test(memory: Memory, forgetting: Forgetting) -> None:
        ids, secrets = [], []
        for n in range(30):
            secret = NewMemory(kind="semantic", content=f"{n:04d} {SECRET} {'x' * (37 * n % 900)}")
            filler = [NewMemory(kind="semantic", content=f"filler {n} {m} {'y' * (53 * m % 700)}") for m in range(20)]
            ids += await memory.add_many([secret, *filler])
            secrets.append(ids[-21])
            for memory_id in ids[-12::3]:
                await memory.forget(memory_id)
        await forgetting.forget(Target(ids=tuple(secrets[::2])))
        await forgetting.forget(Target(ids=tuple(secrets[1::2])))
        assert left_on_disk(tmp_path, SECRET) == []

    run(tmp_path, test)
