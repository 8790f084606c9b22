"""One look at a Git repository, or one push to it, in a process of its own.

A repository is somebody else's: its packs may unfold to any size, its server may never answer. So the work is done
here, under limits on memory, processor time and file size that the system keeps, and whoever started it ends it when
its time is over. A request comes as one JSON document on stdin, the answer goes as one to stdout; nothing is logged.
What is fetched lies in an empty folder that the caller removes.
"""

import errno
import json
import os
import re
import resource
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from dulwich.client import GitClient, HTTPUnauthorized, get_transport_and_path
from dulwich.errors import GitProtocolError, NotGitRepository, SendPackError
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.pack import pack_objects_to_data
from dulwich.refs import Ref
from dulwich.repo import Repo

MAX_CPU_S: Final = 60
"""Processor time: a hundred times what a usual repository takes."""


_NAME: Final = re.compile(rb"[A-Za-z0-9._-]{1,200}\.toml")
"""What an artifact's file may be called; names are shown, logged and kept."""

SILENCE_S: Final = 20.0
"""How long a server may say nothing."""

UNREACHABLE: Final = "unreachable"
REFUSED: Final = "refused"


class Refusal(Exception):
    """The repository holds what is not taken, or did not take what was offered."""


def main() -> int:
    """Answer the request on stdin. What goes wrong is part of the answer."""
    request = json.load(sys.stdin)
    _limit(request["max_memory_bytes"], request["max_pack_bytes"])
    try:
        answer = _ACTIONS[request["action"]](request, request["folder"])
    except Refusal as error:
        answer = {"failed": REFUSED, "cause": str(error)}
    except MemoryError:
        answer = {"failed": REFUSED, "cause": "the repository is too large for the memory it may use"}
    except OSError as error:
        too_long = error.errno == errno.EFBIG
        cause = "the branch is too large" if too_long else _said(error)
        answer = {"failed": REFUSED if too_long else UNREACHABLE, "cause": cause}
    except SendPackError as error:
        answer = {"failed": REFUSED, "cause": _said(error)}
    except (GitProtocolError, NotGitRepository, HTTPUnauthorized) as error:
        answer = {"failed": UNREACHABLE, "cause": _said(error)}
    except Exception as error:  # noqa: BLE001 - whatever a hostile pack makes the library do must not go unanswered
        answer = {"failed": REFUSED, "cause": f"the repository cannot be read: {_said(error)}"}
    json.dump(answer, sys.stdout)
    return 0


def look(request: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The newest commit of a branch and, unless it is `known`, the files that are asked for.

    `file` is one path; of the folder `artifacts` those files whose blob is not in `have` (name to blob id). `blobs`
    names the blobs of those that were looked at now or before; with `more` there are others for which no room was left.
    """
    with _fetched(request, folder, known=request["known"]) as (repo, commit_id):
        if commit_id is None or commit_id == request["known"]:
            return {"commit": commit_id}
        root = _commit(repo, commit_id).tree
        file = _text(repo, _entry(repo, root, request["file"]), request["file"], request["max_file_bytes"])
        found = _Artifacts(request["max_file_bytes"], request["max_bytes"])
        for name, blob_id in _listed(repo, root, request["artifacts"], request["max_artifacts"]):
            found.take(repo, name, blob_id, known=request["have"].get(name) == blob_id)
        return {"commit": commit_id, "file": file, **found.answer}


class _Artifacts:
    """The artifacts of one answer, which has room for so many bytes."""

    def __init__(self, max_file_bytes: int, max_bytes: int) -> None:
        self._max_file_bytes = max_file_bytes
        self._left_bytes = max_bytes
        self.answer: dict[str, Any] = {"artifacts": {}, "blobs": {}, "skipped": [], "more": False}

    def take(self, repo: Repo, name: str, blob_id: str, *, known: bool) -> None:
        """Add a file, unless it is known or no room is left; one that cannot be read is named."""
        text: str | None = None
        if not known:
            try:
                text = _text(repo, ObjectID(blob_id.encode()), name, self._max_file_bytes)
            except Refusal:
                self.answer["skipped"].append(name)
        size_bytes = len(text.encode()) if text is not None else 0
        if size_bytes > self._left_bytes:
            self.answer["more"] = True
            return
        self._left_bytes -= size_bytes
        self.answer["blobs"][name] = blob_id
        if text is not None:
            self.answer["artifacts"][name] = text


def push(request: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Put `files` (path to text) on top of the base branch and push that as `branch`.

    Nothing happens if the branch is there already: its name says what is on it.
    """
    branch = b"refs/heads/" + request["branch"].encode()
    with _fetched(request, folder, known=None) as (repo, base):
        client, path = _client(request["url"])
        if branch in client.get_refs(path.encode()).refs:
            return {"commit": None, "existed": True}
        new: list[ShaFile] = []
        tree = _tree_with(repo, _commit(repo, base).tree if base else None, request["files"], new)
        commit = Commit()
        commit.tree = tree
        commit.parents = [ObjectID(base.encode())] if base else []
        commit.author = commit.committer = request["author"].encode()
        commit.author_time = commit.commit_time = request["time_s"]
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = request["message"].encode()
        new.append(commit)
        done = client.send_pack(
            path.encode(),
            lambda refs: {Ref(branch): commit.id},
            lambda have, want, **options: pack_objects_to_data([(item, None) for item in new]),
        )
        for ref, problem in (done.ref_status or {}).items():
            if ref == branch and problem is not None:
                raise Refusal(f"the branch was not taken: {problem}")
        return {"commit": commit.id.decode(), "existed": False}


_ACTIONS: Final = {"look": look, "push": push}


@contextmanager
def _fetched(request: Mapping[str, Any], folder: str, *, known: str | None) -> Iterator[tuple[Repo, str | None]]:
    """A repository with the newest commit of the base branch, without its history, and that commit's id.

    The id is None if there is no such branch; nothing is fetched if it is `known`.
    """
    branch = Ref(b"refs/heads/" + request["base_branch"].encode())
    found: list[ObjectID] = []

    def wanted(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        if branch in refs:
            found.append(refs[branch])
        return [commit_id for commit_id in found if commit_id.decode() != known]

    client, path = _client(request["url"])
    with Repo.init_bare(folder) as repo:
        client.fetch(path.encode(), repo, determine_wants=wanted, depth=1)
        yield repo, found[0].decode() if found else None


def _client(url: str) -> tuple[GitClient, str]:
    return get_transport_and_path(url)


def _commit(repo: Repo, commit_id: str) -> Commit:
    found = repo[commit_id.encode()]
    if not isinstance(found, Commit):
        raise Refusal("the branch is no commit")
    return found


def _entry(repo: Repo, root: ObjectID, path: str) -> ObjectID | None:
    """The id of the file or folder at a path; a link, or anything else that is neither, is not followed."""
    here: ObjectID | None = root
    for part in path.encode().split(b"/"):
        tree = repo[here] if here is not None else None
        if not isinstance(tree, Tree) or part not in tree:
            return None
        mode, here = tree[part]
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return None
    return here


def _text(repo: Repo, blob_id: ObjectID | None, name: str, max_bytes: int) -> str | None:
    """A file's text, or None if there is none. Raises Refusal."""
    if blob_id is None:
        return None
    blob = repo[blob_id]
    if not isinstance(blob, Blob):
        return None
    if blob.raw_length() > max_bytes:
        raise Refusal(f"{name} is over {max_bytes} bytes")
    try:
        return blob.data.decode()
    except UnicodeDecodeError as error:
        raise Refusal(f"{name} is no UTF-8 text") from error


def _listed(repo: Repo, root: ObjectID, path: str, most: int) -> list[tuple[str, str]]:
    """Name and blob of the artifacts in a folder, the last by name if they are many."""
    folder_id = _entry(repo, root, path)
    folder = repo[folder_id] if folder_id is not None else None
    found = [
        (entry.path.decode(), entry.sha.decode())
        for entry in (folder.items() if isinstance(folder, Tree) else ())
        if stat.S_ISREG(entry.mode) and _NAME.fullmatch(entry.path)
    ]
    return sorted(found)[-most:]


def _tree_with(repo: Repo, tree_id: ObjectID | None, files: Mapping[str, str], new: list[ShaFile]) -> ObjectID:
    """The tree with these files in it; what has to be made for that is added to `new`."""
    old = repo[tree_id] if tree_id is not None else None
    tree = old.copy() if isinstance(old, Tree) else Tree()
    assert isinstance(tree, Tree)
    folders: dict[bytes, dict[str, str]] = {}
    for path, text in files.items():
        first, _, rest = path.partition("/")
        if rest:
            folders.setdefault(first.encode(), {})[rest] = text
            continue
        blob = Blob.from_string(text.encode())
        new.append(blob)
        tree.add(first.encode(), stat.S_IFREG | 0o644, blob.id)
    for name, inside in folders.items():
        there = tree[name] if name in tree else None  # noqa: SIM401 - a tree's `get` is not a mapping's
        below = there[1] if there is not None and stat.S_ISDIR(there[0]) else None
        tree.add(name, stat.S_IFDIR, _tree_with(repo, below, inside, new))
    new.append(tree)
    return tree.id


def _limit(memory_bytes: int, file_bytes: int) -> None:
    """Bounds that the system keeps, whatever a pack does."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    socket.setdefaulttimeout(SILENCE_S)
    os.environ.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    sys.exit(main())
