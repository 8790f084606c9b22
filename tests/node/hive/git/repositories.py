"""Bare Git repositories on disk as people fill them, and dulwich's own servers over them on loopback."""

import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import make_server

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import DictBackend, TCPGitServer
from dulwich.web import WSGIRequestHandler, WSGIServer, make_wsgi_chain

MAIN = Ref(b"refs/heads/main")


class Repository:
    """A bare repository. `commit` does what a person's push to the base branch does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo = Repo.init_bare(path, mkdir=True, default_branch=b"main")
        self._count = 0

    def commit(self, files: Mapping[str, str | bytes | None], *, onto: str | None = "head", link: bool = False) -> str:
        """Change files (None removes one) on the base branch; `onto=None` begins a history that knows no other."""
        parent = self.repo.refs[MAIN] if onto == "head" and MAIN in self.repo.refs else None
        contents = self.files(parent.decode()) if parent is not None else {}
        for name, content in files.items():
            if content is None:
                del contents[name]
            else:
                contents[name] = content.encode() if isinstance(content, str) else content
        commit = Commit()
        commit.tree = self._tree(contents, stat.S_IFLNK if link else stat.S_IFREG | 0o644)
        commit.parents = [parent] if parent is not None else []
        commit.author = commit.committer = b"Ada <ada@example.org>"
        self._count += 1
        commit.author_time = commit.commit_time = 1_700_000_000 + self._count
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"reviewed"
        self.repo.object_store.add_object(commit)
        self.repo.refs[MAIN] = commit.id
        return commit.id.decode()

    def _tree(self, contents: Mapping[str, bytes], mode: int) -> ObjectID:
        root, folders = Tree(), dict[str, dict[str, bytes]]()
        for name, data in contents.items():
            folder, _, last = name.rpartition("/")
            if folder:
                folders.setdefault(folder, {})[last] = data
                continue
            blob = Blob.from_string(data)
            self.repo.object_store.add_object(blob)
            root.add(name.encode(), mode, blob.id)
        for folder, inside in folders.items():
            root.add(folder.encode(), stat.S_IFDIR, self._tree(inside, mode))
        self.repo.object_store.add_object(root)
        return root.id

    def branches(self) -> dict[str, str]:
        """Every branch with its commit."""
        return {
            name.removeprefix(b"refs/heads/").decode(): commit.decode()
            for name, commit in self.repo.get_refs().items()
            if name.startswith(b"refs/heads/")
        }

    def head(self, branch: str) -> Commit:
        commit = self.repo[self.branches()[branch].encode()]
        assert isinstance(commit, Commit)
        return commit

    def files(self, commit_id: str) -> dict[str, bytes]:
        """The files of a commit, those of its folders by their paths."""
        commit = self.repo[commit_id.encode()]
        assert isinstance(commit, Commit)
        return dict(self._files(commit.tree, ""))

    def _files(self, tree_id: ObjectID, above: str) -> Iterator[tuple[str, bytes]]:
        tree = self.repo[tree_id]
        assert isinstance(tree, Tree)
        for entry in tree.items():
            name = above + entry.path.decode()
            found = self.repo[entry.sha]
            if isinstance(found, Blob):
                yield name, found.data
            else:
                yield from self._files(entry.sha, f"{name}/")


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is for failures."""


@contextmanager
def serving_git(repository: Repository) -> Iterator[str]:
    """The repository over git://; the URL."""
    server = TCPGitServer(DictBackend({b"/": repository.repo, "/": repository.repo}), "127.0.0.1", 0)
    with _running(server):
        yield f"git://127.0.0.1:{server.server_address[1]}/"


@contextmanager
def serving_http(repository: Repository) -> Iterator[str]:
    """The repository over http://; the URL."""
    app = make_wsgi_chain(DictBackend({"/": repository.repo}))
    server = make_server("127.0.0.1", 0, app, handler_class=_Quiet, server_class=WSGIServer)
    with _running(server):
        yield f"http://127.0.0.1:{server.server_port}/"


@contextmanager
def _running(server: "TCPGitServer | WSGIServer") -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
