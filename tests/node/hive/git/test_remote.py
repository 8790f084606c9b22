"""The worker's process over every transport, and against repositories and servers that mean harm."""

import asyncio
import hashlib
import os
import socket
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import psutil
import pytest

from node.errors import GitRefused, GitUnreachable
from node.hive.git.record import blob_id
from node.hive.git.remote import Bounds, Look, Remote, without_secrets, without_secrets_of
from tests.node.hive.git.repositories import Repository, serving_git, serving_http

pytestmark = pytest.mark.slow

BRANCH = "swarm/improvement/1700000000-x"
FILES = {"playbook.toml": "version = 1\n", "swarm_artifacts/a.toml": "twin_id = 'a'\n", "README.md": "read me"}


def remote(url: str, tmp_path: Path, bounds: Bounds = Bounds()) -> Remote:  # noqa: B008 - frozen
    return Remote(url, "main", tmp_path / "git", bounds)


def look(url: str, tmp_path: Path, bounds: Bounds = Bounds(), known: str | None = None) -> Look:  # noqa: B008
    return asyncio.run(remote(url, tmp_path, bounds).look(known=known, have={}))


def push(url: str, tmp_path: Path, files: dict[str, str]) -> tuple[str | None, bool]:
    to = remote(url, tmp_path)
    return asyncio.run(to.push(BRANCH, files, author="Ada <did:key:z6Mk>", message="learnt\n", time_s=1_700_000_000))


def on_disk(repository: Repository) -> AbstractContextManager[str]:
    return nullcontext(str(repository.path))


def as_url(repository: Repository) -> AbstractContextManager[str]:
    return nullcontext(f"file://{repository.path}")


@pytest.mark.parametrize("serving", [on_disk, as_url, serving_git, serving_http])
def test_looking_and_pushing(
    serving: Callable[[Repository], AbstractContextManager[str]], repository: Repository, tmp_path: Path
) -> None:
    repository.commit(FILES)
    commit = repository.commit({"playbook.toml": "version = 2\n"})
    with serving(repository) as url:
        found = look(url, tmp_path)
        assert found == Look(
            commit=commit,
            file="version = 2\n",
            artifacts={"a.toml": FILES["swarm_artifacts/a.toml"]},
            blobs={"a.toml": blob_id(FILES["swarm_artifacts/a.toml"])},
            skipped=[],
        )
        assert look(url, tmp_path, known=commit) == Look(commit)
        pushed, existed = push(url, tmp_path, {"swarm_artifacts/x.toml": "x = 1\n"})
        assert not existed
        assert push(url, tmp_path, {"swarm_artifacts/x.toml": "x = 2\n"}) == (None, True)
    assert repository.branches() == {"main": commit, BRANCH: pushed}
    assert pushed is not None
    assert repository.head(BRANCH).parents == [commit.encode()]
    assert repository.head(BRANCH).author == repository.head(BRANCH).committer == b"Ada <did:key:z6Mk>"
    assert repository.files(pushed) == {
        **repository.files(commit),
        "swarm_artifacts/x.toml": b"x = 1\n",
    }
    assert not list((tmp_path / "git").iterdir())


def test_a_repository_without_the_branch(repository: Repository, tmp_path: Path) -> None:
    assert look(str(repository.path), tmp_path) == Look(None)
    pushed, _ = push(str(repository.path), tmp_path, {"swarm_artifacts/x.toml": "x = 1\n"})
    assert pushed is not None
    assert repository.head(BRANCH).parents == []
    assert repository.files(pushed) == {"swarm_artifacts/x.toml": b"x = 1\n"}


@pytest.mark.parametrize("url", ["git://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/x", "/nowhere/at/all"])
def test_nobody_there(url: str, tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port meanwhile
        with pytest.raises(GitUnreachable):
            look(url.format(port=bound.getsockname()[1]), tmp_path)


def test_a_server_that_says_nothing_costs_a_bounded_time_and_leaves_no_process(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"git://127.0.0.1:{server.getsockname()[1]}/x"
        with pytest.raises(GitUnreachable, match="no whole answer"):
            look(url, tmp_path, Bounds(request_s=2))
    assert not list((tmp_path / "git").iterdir())
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_no_password_is_shown(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://ada:s3cr%65t@127.0.0.1:{bound.getsockname()[1]}/s3cr%65t"
        with pytest.raises(GitUnreachable) as caught:
            look(url, tmp_path)
    assert "127.0.0.1" in str(caught.value)
    for secret in ("s3cr%65t@", "s3cret", "ada"):
        assert secret not in str(caught.value)


def test_urls_without_secrets() -> None:
    assert without_secrets("https://token@host:1/x?y") == "https://host:1/x?y"
    assert without_secrets("git@host:x/y.git") == "git@host:x/y.git"
    assert without_secrets("/a/b@c") == "/a/b@c"
    assert without_secrets_of("https://u:p%40w@h/x", "at u:p%40w@h with p@w") == "at …h with …"
    assert without_secrets_of("/x", "nothing") == "nothing"


def test_a_branch_that_is_too_large_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.commit({**FILES, "noise": os.urandom(3_000_000)})
    with pytest.raises(GitRefused, match="too large"):
        look(str(repository.path), tmp_path, Bounds(pack_bytes=1_000_000))
    assert not list((tmp_path / "git").iterdir())


def test_an_object_that_unfolds_without_end_is_refused(repository: Repository, tmp_path: Path) -> None:
    """400 MB of zeros, which take 400 KB: made piece by piece, so that only the worker could need the memory."""
    header, zeros = b"blob 400000000\0", bytes(1_000_000)
    repository.commit({**FILES, "bomb": b"x"})
    digest, packed = hashlib.sha1(header, usedforsecurity=False), zlib.compressobj(1)
    data = packed.compress(header)
    for _ in range(400):
        digest.update(zeros)
        data += packed.compress(zeros)
    name = digest.hexdigest()
    path = repository.path / "objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data + packed.flush())
    tree = repository.repo[repository.head("main").tree]
    tree.add(b"playbook.toml", 0o100644, name.encode())  # type: ignore[attr-defined]
    repository.repo.object_store.add_object(tree)
    commit = repository.head("main").copy()
    commit.tree = tree.id  # type: ignore[attr-defined]
    repository.repo.object_store.add_object(commit)
    repository.repo.refs[b"refs/heads/main"] = commit.id  # type: ignore[index]
    with pytest.raises(GitRefused):
        look(str(repository.path), tmp_path, Bounds(memory_bytes=350_000_000))


def test_files_that_are_not_what_they_should_be(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"playbook.toml": "/etc/passwd", "swarm_artifacts/a.toml": "/etc/passwd"}, link=True)
    assert look(str(repository.path), tmp_path).file is None
    assert look(str(repository.path), tmp_path).artifacts == {}
    repository.commit(
        {
            "playbook.toml/inside": "x",
            "swarm_artifacts/a.toml": b"\xff",
            "swarm_artifacts/\x1b[2J.toml": "x",
            "swarm_artifacts/b.txt": "x",
            "swarm_artifacts/c.toml/inside": "x",
        },
        onto=None,
    )
    found = look(str(repository.path), tmp_path)
    assert (found.file, found.artifacts, found.skipped) == (None, {}, ["a.toml"])
    assert found.blobs.keys() == {"a.toml"}
    repository.commit({"playbook.toml": b"\xff"}, onto=None)
    with pytest.raises(GitRefused, match="UTF-8"):
        look(str(repository.path), tmp_path)


def test_a_damaged_repository_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.commit(FILES)
    tree = repository.head("main").tree.decode()
    (repository.path / "objects" / tree[:2] / tree[2:]).write_bytes(b"nothing that Git would write")
    with pytest.raises((GitRefused, GitUnreachable)):
        look(str(repository.path), tmp_path)
