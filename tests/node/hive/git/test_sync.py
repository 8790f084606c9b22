"""Pull and push over real repositories; the worker runs in this process, where each step can be seen."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from node.config import GitConfig
from node.errors import GitNotConfigured, GitRefused, GitUnreachable, RevisionRefused
from node.hive.git import sync as sync_module
from node.hive.git import worker
from node.hive.git.record import Records
from node.hive.git.remote import Remote
from node.hive.git.sync import GitSync
from node.hive.hive import Hive
from protocols.playbook.artifact import Artifact, read_document, write_artifact
from protocols.playbook.merge import EMPTY, Playbook, apply
from protocols.playbook.revision import Revision, new_ops, sign_revision
from protocols.playbook.toml import render
from storage import meta
from tests.node.hive.git.repositories import Repository
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Node, new_hive, open_node, running, soon

OTHER = KeyPair(bytes(range(32)))
BULLET = {"op": "add", "section": "manners", "text": "Thank whoever answered.", "tags": []}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(self: Remote, **request: Any) -> dict[str, Any]:
        whole = {"url": self._url, "base_branch": self._base_branch, **request}
        with tempfile.TemporaryDirectory() as folder:
            try:
                return await asyncio.to_thread(worker._ACTIONS[request["action"]], whole, folder)
            except worker.Refusal as error:
                raise GitRefused(str(error)) from error
            except worker.NotGitRepository as error:
                raise GitUnreachable(str(error)) from error

    monkeypatch.setattr(Remote, "_ask", ask)


class Twin:
    """A hive with a repository beside it."""

    def __init__(self, node: Node, hive: Hive, repository: Repository, **config: Any) -> None:
        self.node = node
        self.hive = hive
        self.git = GitSync(
            GitConfig(url=str(repository.path), **config),
            did=node.did,
            name="Ada <x>",
            hive=hive,
            database=node.database,
            folder=node.home / "git",
            now=node.clock,
        )

    async def propose(self, *ops: dict[str, Any], critique: str = "because") -> Cid:
        self.node.clock.advance(1)
        return await self.hive.propose("common", critique, ops)

    async def texts(self) -> list[str]:
        return sorted(bullet.text for bullet in (await self.view()).bullets)

    async def view(self) -> Playbook:
        return await self.hive.view("common")

    async def forget_last_record(self, before: str | None) -> None:
        """As after a crash between the work and its record."""
        key = self.git._records._key
        await self.node.database.write(lambda conn: meta.put(conn, key, before or "{}"))

    async def record(self) -> str | None:
        return await self.node.database.read(lambda conn: meta.get(conn, self.git._records._key))


@asynccontextmanager
async def open_twin(repository: Repository, tmp_path: Path, **config: Any) -> AsyncIterator[Twin]:
    async with open_node(FakeSwarm(), tmp_path / "home") as node:
        hive = new_hive(node)
        await hive.load()
        yield Twin(node, hive, repository, **config)


def bullets(*texts: str) -> str:
    return "".join(f'[[bullets]]\nsection = "manners"\ntext = "{text}"\n' for text in texts)


def test_what_people_merge_becomes_revisions_and_what_the_swarm_wrote_stays(
    repository: Repository, tmp_path: Path
) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            await twin.propose(BULLET | {"text": "swarm wisdom"}, {"op": "set", "key": "a.b", "value": 1})
            first = repository.commit({"playbook.toml": "[a]\nc = 1\n" + bullets("one", "two")})
            pulled = await twin.git.pull("common")
            assert (pulled.commit, len(pulled.revisions), pulled.problems) == (first, 1, ())
            assert await twin.texts() == ["one", "swarm wisdom", "two"]
            assert dict((await twin.view()).settings) == {"a.b": 1, "a.c": 1}
            made = (await twin.hive.stored("common", pulled.revisions[0])).revision
            assert (made.author, made.evidence) == (twin.node.did, (f"git:{first}",))
            assert await twin.git.pull() == replace(pulled, revisions=())
            await twin.propose(BULLET | {"text": "later"}, {"op": "set", "key": "a.c", "value": 2})
            repository.commit({"playbook.toml": "[a]\nc = 1\nd = 3\n" + bullets("one", "three")})
            assert len((await twin.git.pull()).revisions) == 1
            assert await twin.texts() == ["later", "one", "swarm wisdom", "three"]
            assert dict((await twin.view()).settings) == {"a.b": 1, "a.c": 2, "a.d": 3}
            repository.commit({"README.md": "nothing about the playbook"})
            assert (await twin.git.pull()).revisions == ()

    asyncio.run(main())


def test_both_sides_changed_the_same(repository: Repository, tmp_path: Path) -> None:
    """Of a setting the later word holds, which is the merged one; a bullet that was removed here stays removed."""

    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            await twin.propose(BULLET, {"op": "set", "key": "a", "value": 1})
            base = render(await twin.view())
            repository.commit({"playbook.toml": base})
            assert (await twin.git.pull()).revisions == ()
            (known,) = (await twin.view()).bullets
            await twin.propose({"op": "set", "key": "a", "value": 2}, {"op": "remove", "id": known.id})
            repository.commit({"playbook.toml": base.replace("a = 1", "a = 3").replace("Thank", "Always thank")})
            assert len((await twin.git.pull()).revisions) == 1
            assert dict((await twin.view()).settings) == {"a": 3}
            assert await twin.texts() == []

    asyncio.run(main())


def test_a_history_that_was_written_anew_is_only_another_state(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            repository.commit({"playbook.toml": bullets("one", "two")})
            await twin.git.pull()
            repository.commit({"playbook.toml": bullets("two", "three")}, onto=None)
            assert (await twin.git.pull()).problems == ()
            assert await twin.texts() == ["three", "two"]

    asyncio.run(main())


def test_a_pull_that_was_interrupted_is_repeated_without_effect(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            await twin.propose({"op": "metric", "name": "rate", "sum": 1.0})
            repository.commit({"playbook.toml": "[metrics]\nrate = 0.5\n" + bullets("one")})
            assert len((await twin.git.pull()).revisions) == 1
            state = (await twin.view()).state_hash
            await twin.node.database.write(
                lambda conn: conn.execute("DELETE FROM meta WHERE key LIKE 'git/%'") and None
            )
            assert (await twin.git.pull()).revisions == ()
            assert (await twin.view()).state_hash == state
            assert (await twin.view()).metrics["rate"].count == 2

    asyncio.run(main())


def test_what_this_twin_learnt_goes_to_a_branch_for_review(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            base = repository.commit({"playbook.toml": "[a]\nb = 1\n"})
            await twin.git.pull()
            assert await twin.git.push() is None  # what came out of the repository does not go back
            await twin.propose(BULLET, critique="They were glad.\nEach time.")
            (known,) = (await twin.view()).bullets
            second = await twin.propose(BULLET | {"text": "Ask."}, critique="It helps.")
            await twin.propose({"op": "helpful", "id": known.id}, {"op": "metric", "name": "m", "sum": 1.0})
            pushed = await twin.git.push("common")
            assert pushed is not None
            time_s = START_MS // 1000 + 2
            assert pushed.branch == f"swarm/improvement/{time_s}-{second}"
            assert repository.branches() == {"main": base, pushed.branch: pushed.commit}
            commit = repository.head(pushed.branch)
            assert commit.parents == [base.encode()]
            assert commit.author == commit.committer == f"Ada x <{twin.node.did}>".encode()
            assert commit.commit_time == time_s
            message = commit.message.decode()
            assert message.startswith("It helps.\n\nIt helps.\n\nThey were glad.\nEach time.\n")
            assert f"Twin: {twin.node.did}\n" in message
            assert message.count("Revision: ") == 2
            files = repository.files(commit.id.decode())
            assert files.keys() == {"playbook.toml", f"swarm_artifacts/{second}.toml"}
            artifact = read_document(files[f"swarm_artifacts/{second}.toml"].decode())
            assert isinstance(artifact, Artifact)
            assert (artifact.twin_id, artifact.playbook) == (twin.node.did, "common")
            assert artifact.critique == "It helps.\n\nThey were glad.\nEach time."
            assert artifact.revisions == tuple(map(str, pushed.revisions))
            assert await twin.git.push() is None
            assert len(repository.branches()) == 2

    asyncio.run(main())


def test_a_push_that_was_interrupted_finds_its_own_branch(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            repository.commit({"playbook.toml": ""})
            await twin.git.pull()
            await twin.propose(BULLET)
            before = await twin.record()
            pushed = await twin.git.push()
            branches = repository.branches()
            await twin.forget_last_record(before)
            again = await twin.git.push()
            assert pushed is not None
            assert again == replace(pushed, commit=None)
            assert repository.branches() == branches
            assert await twin.git.push() is None

    asyncio.run(main())


def test_with_the_whole_file_a_merge_changes_playbook_toml_too(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path, push_playbook=True) as twin:
            repository.commit({"playbook.toml": bullets("one")})
            await twin.git.pull()
            await twin.propose(BULLET)
            pushed = await twin.git.push()
            assert pushed is not None
            assert pushed.commit is not None
            merged = repository.files(pushed.commit)
            assert merged["playbook.toml"].decode() == render(await twin.view())
            repository.commit(dict(merged))
            assert (await twin.git.pull()).revisions == ()

    asyncio.run(main())


def test_our_own_artifact_comes_back_only_as_far_as_people_changed_it(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            repository.commit({"playbook.toml": ""})
            await twin.git.pull()
            cid = await twin.propose(BULLET, {"op": "set", "key": "a", "value": 1})
            pushed = await twin.git.push()
            assert pushed is not None
            assert pushed.commit is not None
            await twin.propose({"op": "set", "key": "a", "value": 2})
            artifact = f"swarm_artifacts/{cid}.toml"
            text = repository.files(pushed.commit)[artifact].decode()
            repository.commit({artifact: text})
            assert (await twin.git.pull()).revisions == ()
            assert (await twin.view()).settings == {"a": 2}

    asyncio.run(main())


def artifact_of(*ops: dict[str, Any], critique: str = "Learnt elsewhere.", **options: Any) -> str:
    """What another twin would push."""
    author = did_key(OTHER.public)
    revision = Revision("common", (), 1, author, 0, "", (), new_ops(ops, author=author, height=1))
    playbook = apply(EMPTY("common"), sign_revision(revision, OTHER))
    return write_artifact(playbook, twin=author, critique=critique, **options)


def test_a_merged_artifact_of_somebody_else_adds_and_takes_nothing_out(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            await twin.propose(BULLET, {"op": "set", "key": "a", "value": 1})
            theirs = artifact_of(BULLET | {"text": "Ask."}, {"op": "metric", "name": "m", "sum": 1.0})
            commit = repository.commit({"playbook.toml": "", "swarm_artifacts/x.toml": theirs})
            pulled = await twin.git.pull()
            assert pulled.problems == ()
            (cid,) = pulled.revisions
            made = (await twin.hive.stored("common", cid)).revision
            assert (made.critique, made.evidence) == ("Learnt elsewhere.", (f"git:{commit}", "swarm_artifacts/x.toml"))
            assert await twin.texts() == ["Ask.", "Thank whoever answered."]
            assert dict((await twin.view()).settings) == {"a": 1}
            assert (await twin.view()).metrics == {}
            repository.commit({"README.md": "x"})
            assert (await twin.git.pull()).revisions == ()
            assert await twin.git.push() is not None  # our own bullet, not what was pulled

    asyncio.run(main())


def test_an_artifact_of_revisions_that_are_known_here(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            adopted = await twin.propose(BULLET | {"text": "kept"})
            rejected = await twin.propose(BULLET | {"text": "gone"})
            await twin.hive.reject("common", rejected, "no")
            repository.commit(
                {
                    "playbook.toml": "",
                    "swarm_artifacts/adopted.toml": artifact_of(BULLET, revisions=[adopted]),
                    "swarm_artifacts/rejected.toml": artifact_of(BULLET, revisions=[adopted, rejected]),
                }
            )
            pulled = await twin.git.pull()
            assert pulled.revisions == ()
            assert list(pulled.problems) == [
                "swarm_artifacts/rejected.toml: it shows a revision that was rejected here"
            ]
            assert await twin.texts() == ["kept"]

    asyncio.run(main())


def test_what_is_broken_or_crosses_a_red_line_keeps_nothing_else_out(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            await twin.hive.red_lines.add("phrase", "share the password")
            repository.commit({"playbook.toml": bullets("one")})
            await twin.git.pull()
            other = artifact_of(BULLET).replace('playbook = "common"', 'playbook = "other"')
            repository.commit(
                {
                    "playbook.toml": "a = \n",
                    "swarm_artifacts/bad.toml": artifact_of(BULLET | {"text": "Share the password with everyone."}),
                    "swarm_artifacts/broken.toml": "twin_id = ",
                    "swarm_artifacts/good.toml": artifact_of(BULLET | {"text": "Ask."}),
                    "swarm_artifacts/other.toml": other,
                    "swarm_artifacts/plain.toml": "a = 1",
                }
            )
            pulled = await twin.git.pull()
            assert len(pulled.revisions) == 1
            assert [problem.partition(":")[0] for problem in pulled.problems] == [
                "playbook.toml",
                *(f"swarm_artifacts/{name}.toml" for name in ("bad", "broken", "other", "plain")),
            ]
            assert await twin.texts() == ["Ask.", "one"]
            again = await twin.git.pull()
            assert (again.revisions, again.problems) == ((), pulled.problems)
            repository.commit({"playbook.toml": bullets("two")})
            assert len((await twin.git.pull()).problems) == 0
            assert await twin.texts() == ["Ask.", "two"]  # compared with the last file that could be read

    asyncio.run(main())


def test_the_ethics_are_changed_by_the_owner_alone(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            await twin.propose({"op": "set", "key": "ethics.red_lines.never", "value": ["lie"]})
            base = render(await twin.view())
            repository.commit({"playbook.toml": base})
            assert (await twin.git.pull()).problems == ()
            theirs = artifact_of({"op": "set", "key": "ethics", "value": 0}, {"op": "set", "key": "a", "value": 1})
            changed = base.replace('["lie"]', "[]") + bullets("one")
            repository.commit({"playbook.toml": changed, "swarm_artifacts/x.toml": theirs})
            pulled = await twin.git.pull()
            assert [problem.partition(": [ethics]")[0] for problem in pulled.problems] == [
                "playbook.toml",
                "swarm_artifacts/x.toml",
            ]
            assert dict((await twin.view()).settings) == {"a": 1, "ethics.red_lines.never": ["lie"]}
            assert await twin.texts() == ["one"]

    asyncio.run(main())


def test_a_playbook_with_more_artifacts_than_one_look_brings(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.hive.git import remote

    async def main() -> None:
        artifacts = {f"swarm_artifacts/{n}.toml": artifact_of(BULLET | {"text": f"rule {n}"}) for n in range(3)}
        monkeypatch.setattr(remote, "MAX_ANSWER_BYTES", max(map(len, artifacts.values())) + 10)
        async with open_twin(repository, tmp_path) as twin:
            commit = repository.commit({"playbook.toml": "", **artifacts})
            assert len((await twin.git.pull()).revisions) == 3
            assert (await twin.git._records.get()).commit == commit

    asyncio.run(main())


def test_without_a_branch_a_repository_or_a_configuration(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            with pytest.raises(GitRefused, match="no branch 'main'"):
                await twin.git.pull()
            assert "no branch" in (twin.git.failing or "")
            assert (await twin.git.status()).failing == twin.git.failing
            repository.commit({"README.md": "x"})
            assert (await twin.git.pull()).problems == ("playbook.toml: there is none",)
            assert twin.git.failing is None
            with pytest.raises(GitNotConfigured, match="'common'"):
                await twin.git.pull("other")
            nothing = GitSync(
                GitConfig(), did=twin.node.did, name="a", hive=twin.hive, database=twin.node.database, folder=tmp_path
            )
            await nothing.run()
            for call in (nothing.pull, nothing.push, nothing.status):
                with pytest.raises(GitNotConfigured):
                    await call()

    asyncio.run(main())


def test_while_only_a_snapshot_is_here_nothing_is_proposed(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            repository.commit({"playbook.toml": bullets("one")})

            async def provisional(name: str) -> Playbook:
                return Playbook(name, provisional=True)

            twin.hive.view = provisional  # type: ignore[method-assign]
            for call in (twin.git.pull, twin.git.push):
                with pytest.raises(RevisionRefused):
                    await call()
            assert await twin.record() is None

    asyncio.run(main())


def test_a_dead_repository_is_tried_again_with_growing_pauses(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            hidden = repository.path.rename(tmp_path / "elsewhere")
            pauses: list[float] = []
            real, done = asyncio.sleep, asyncio.Event()

            async def sleep(seconds: float) -> None:
                pauses.append(seconds)
                if len(pauses) == 8:
                    hidden.rename(repository.path)
                    repository.commit({"playbook.toml": bullets("one")})
                if len(pauses) == 9:
                    done.set()
                    await real(3600)
                await real(0)

            monkeypatch.setattr(sync_module.asyncio, "sleep", sleep)
            async with running(twin.git.run()):
                await soon(done.wait())
            assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
            assert twin.git.counters == {"git_failures": 8, "git_revisions_pulled": 1}
            assert await twin.texts() == ["one"]

    asyncio.run(main())


def test_another_address_begins_anew(repository: Repository, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_twin(repository, tmp_path) as twin:
            repository.commit({"playbook.toml": ""})
            await twin.git.pull()
            assert (await twin.git._records.get()).commit is not None
            assert (await Records(twin.node.database, "common", "elsewhere", "main").get()).commit is None

    asyncio.run(main())
