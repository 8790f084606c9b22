"""Commands of documents: memory ingest, memory documents. Files are sent as they are; the twin reads them."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.cli.client import PIECE_BYTES, Client
from node.cli.command import Call, Commands, add_paging, paging
from node.cli.errors import EXIT_FAILED, ApiProblem, BadInput
from node.cli.output import one_line, remark, say
from node.cli.progress import amount, bytes_progress
from node.memory.documents.kinds import SKIPPED_FOLDERS, kind_of

MAX_FILE_BYTES: Final = 32 * 1024**2
"""What the twin takes of one document: larger ones need not be sent to be refused."""

MAX_SOURCE_BYTES: Final = 1024
"""What the twin takes as the name of a document, and of the source of a memory."""

_ASKED_AT_ONCE: Final = 500
_SHOWN_FAILURES: Final = 20
_OF_THE_DOCUMENT: Final = (400, 413, 422)
"""What the twin answers where a document is at fault, and not the twin."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that can be read into memory."""

    path: Path
    size_bytes: int

    @property
    def source(self) -> str:
        """What the twin knows it by."""
        return str(self.path)

    @property
    def has_name(self) -> bool:
        """Whether the twin can know it by its path: names of files are any bytes, of any number."""
        try:
            return len(self.source.encode()) <= MAX_SOURCE_BYTES
        except UnicodeEncodeError:
            return False


def register(group: Commands) -> None:
    """Add the commands to the group `memory`."""
    ingest_parser = group.add("ingest", "read files or whole folders into memory; again, only what has changed", ingest)
    ingest_parser.add_argument("path", metavar="FILE|DIR", nargs="+")
    ingest_parser.add_argument(
        "--namespace", metavar="NAME", default="domain", help="domain (the default, private), shared or another"
    )
    ingest_parser.add_argument("--tags", metavar="A,B", default="", help="separated by commas")
    ingest_parser.add_argument("--hidden", action="store_true", help="take hidden files and folders too")
    ingest_parser.add_argument("--prune", action="store_true", help="forget documents whose files are gone")
    ingest_parser.add_argument("--dry-run", action="store_true", help="only show what would be read")
    documents_parser = group.add("documents", "list the documents that were read", documents)
    documents_parser.add_argument("--below", metavar="DIR", help="those in this folder")
    add_paging(documents_parser)


def ingest(call: Call) -> int:
    args = call.args
    roots = [Path(path).expanduser().absolute() for path in args.path]
    files, skipped, failed = _found(roots, hidden=args.hidden)
    client = call.client()
    changed = _changed(client, files, args.namespace)
    result: dict[str, Any] = {"files": len(files), "unchanged": len(files) - len(changed), "skipped": skipped}
    if args.dry_run:
        result |= {"would_read": [file.source for file in changed], "failed": failed}
        call.show(result, lambda: _say_plan(changed, result))
        return 0
    result |= _send(client, changed, args.namespace, args.tags)
    result["failed"] = failed + result["failed"]
    result["pruned"] = _prune(client, roots, files) if args.prune else []
    call.show(result, lambda: _say_result(result))
    return EXIT_FAILED if result["failed"] else 0


def documents(call: Call) -> None:
    below = str(Path(call.args.below).expanduser().absolute()) if call.args.below else None
    document = call.client().get("documents", query={**paging(call.args), "below": below})
    rows = [
        (row["kind"], row["pieces"], row["namespace"], row["read"], one_line(row["title"], 40), row["source"])
        for row in document["items"]
    ]
    columns = ("kind", "pieces", "namespace", "read", "title", "source")
    call.show_list(document, columns, rows, empty="No document was read yet: `pagi memory ingest DIR`.")


def _found(roots: Sequence[Path], *, hidden: bool) -> tuple[list[File], int, list[dict[str, Any]]]:
    """The files to read, each once, how many others there are, and what could not be looked at.

    Raises BadInput for what is not there.
    """
    found: dict[Path, File] = {}
    skipped = 0
    failed: list[dict[str, Any]] = []
    for root in roots:
        if root.is_file():
            if kind_of(root.name) is None:
                raise BadInput(f"{root}: not a kind of document that is read")
            found[root] = File(root, root.stat().st_size)
        elif root.is_dir():
            for path, size_bytes in _walk(root, hidden=hidden, failed=failed):
                if kind_of(path.name) is None or not 0 < size_bytes <= MAX_FILE_BYTES:
                    skipped += 1
                else:
                    found[path] = File(path, size_bytes)
        else:
            raise BadInput(f"there is no file or folder {root}")
    nameless = sorted(path for path, file in found.items() if not file.has_name)
    failed += [_failure(found.pop(path).path, "its path is too long, or not UTF-8") for path in nameless]
    return sorted(found.values(), key=lambda file: file.path), skipped, failed


def _failure(path: Path | str, cause: str, code: int | None = None) -> dict[str, Any]:
    return {"source": os.fsencode(path).decode(errors="replace"), "cause": cause, "code": code}


def _walk(root: Path, *, hidden: bool, failed: list[dict[str, Any]]) -> Iterator[tuple[Path, int]]:
    """Regular files below a folder, with their sizes. Links are not followed: they may lead anywhere.

    What cannot be looked at is added to `failed`.
    """

    def unreadable(error: OSError) -> None:
        failed.append(_failure(error.filename, error.strerror or str(error)))

    for parent, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED_FOLDERS and (hidden or not name.startswith("."))
        )
        for name in sorted(names):
            path = Path(parent) / name
            if not hidden and name.startswith("."):
                continue
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue  # it went away meanwhile
            except OSError as error:
                unreadable(error)
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size


def _changed(client: Client, files: Sequence[File], namespace: str) -> list[File]:
    """The files of which the twin does not have everything already."""
    changed: list[File] = []
    show = bytes_progress("comparing", quiet_s=1.0)
    total, done = sum(file.size_bytes for file in files), 0
    for start in range(0, len(files), _ASKED_AT_ONCE):
        batch = files[start : start + _ASKED_AT_ONCE]
        items = []
        for file in batch:
            digest = _sha256(file.path)
            done += file.size_bytes
            show(done, total)
            if digest is not None:
                items.append({"source": file.source, "sha256": digest})
        body = {"namespace": namespace, "items": items}
        same = set(client.post("documents", "unchanged", body=body)["sources"])
        changed += [file for file in batch if file.source not in same]
    return changed


def _sha256(path: Path) -> str | None:
    """The digest of a file, or None where it cannot be read: sending it will say why."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _send(client: Client, files: Sequence[File], namespace: str, tags: str) -> dict[str, Any]:
    """Have each file read. One that cannot be read does not keep the others from it."""
    total, done = sum(file.size_bytes for file in files), 0
    counts = {"read": 0, "pieces": 0, "added": 0, "forgotten": 0}
    failed: list[dict[str, Any]] = []
    show = bytes_progress("reading", quiet_s=1.0)
    for file in files:
        try:
            query = {"source": file.source, "namespace": namespace, "tags": tags or None}
            taken = client.upload(
                "documents",
                body=_bytes(file.path),
                size_bytes=None,
                content_type="application/octet-stream",
                query=query,
            )
            counts["read"] += 1
            for name in ("pieces", "added", "forgotten"):
                counts[name] += taken[name]
        except OSError as error:
            failed.append(_failure(file.path, error.strerror or str(error)))
        except ApiProblem as error:
            code = int(error.document.get("code") or 0)
            if code // 100 not in _OF_THE_DOCUMENT:
                raise  # the others would fare no better
            failed.append(_failure(file.path, str(error), code))
        done += file.size_bytes
        show(done, total)
    return {**counts, "failed": failed}


def _bytes(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _prune(client: Client, roots: Sequence[Path], files: Sequence[File]) -> list[str]:
    """Forget the documents in these folders whose files are not there any more."""
    present = {file.source for file in files}
    gone: list[str] = []
    for root in roots:
        if not root.is_dir():
            continue
        after: str | None = None
        while True:
            page = client.get("documents", query={"below": f"{root}{os.sep}", "after": after, "limit": 500})
            sources = [row["source"] for row in page["items"]]
            gone += [source for source in sources if source not in present and _is_gone(source)]
            if (after := page["next"]) is None:
                break
    for source in gone:
        client.delete("documents", query={"source": source})
    return gone


def _is_gone(source: str) -> bool:
    """Whether there surely is no such file: what cannot be looked at may be there."""
    try:
        return not Path(source).exists()
    except OSError:
        return False


def _say_plan(changed: Sequence[File], result: dict[str, Any]) -> None:
    for file in changed:
        say(file.source)
    size = amount(sum(file.size_bytes for file in changed))
    remark(f"{len(changed)} files ({size}) would be read; {result['unchanged']} are known as they are.")
    _say_failures(result["failed"])


def _say_result(result: dict[str, Any]) -> None:
    say(
        f"Read {result['read']} files into {result['pieces']} memories: {result['added']} new,"
        f" {result['forgotten']} forgotten; {result['unchanged']} files were known as they are."
    )
    if result["pruned"]:
        say(f"Forgot {len(result['pruned'])} documents whose files are gone.")
    if result["skipped"]:
        remark(f"{result['skipped']} files are empty, too large or of a kind that is not read.")
    _say_failures(result["failed"])


def _say_failures(failed: Sequence[dict[str, Any]]) -> None:
    for failure in failed[:_SHOWN_FAILURES]:
        remark(f"Not read: {failure['source']}: {failure['cause']}")
    if len(failed) > _SHOWN_FAILURES:
        remark(f"… and {len(failed) - _SHOWN_FAILURES} more; --json has all of them.")
