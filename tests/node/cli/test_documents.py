"""`pagi memory ingest` against a real twin: folders, again, changes, files that cannot be read, files that are gone."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.cli import documents
from tests.node.memory.documents.files import GUIDE, PAGE, pdf
from tests.node.processes import Machine, Process, pagi

pytestmark = pytest.mark.slow


@pytest.fixture
def twin(machine: Machine) -> Process:
    twin = machine.twin("ada")
    twin.start()
    return twin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "old" / ".git").mkdir(parents=True)
    (folder / "guide.md").write_bytes(GUIDE)
    (folder / "page.html").write_bytes(PAGE)
    (folder / "old" / "wharf.pdf").write_bytes(pdf(["Its crane lifts four tonnes."]))
    (folder / "tool.py").write_text("def lift(tonnes: int) -> int:\n    return tonnes\n")
    (folder / "old" / ".git" / "notes.txt").write_text("not to be read")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    (folder / "damaged.pdf").write_bytes(b"%PDF-1.4")
    (folder / "loop").symlink_to(folder)
    return folder


def test_a_folder_is_read_once_and_then_only_what_has_changed(twin: Process, folder: Path) -> None:
    def ingest(*more: str) -> tuple[int, dict[str, object]]:
        done = pagi("memory", "ingest", str(folder), "--home", str(twin.home), "--json", *more)
        return done.status, done.document

    assert ingest("--dry-run")[1]["would_read"] == [
        str(folder / name) for name in ("damaged.pdf", "guide.md", "old/wharf.pdf", "page.html", "tool.py")
    ]
    status, first = ingest()
    assert status == 1
    assert (first["files"], first["read"], first["unchanged"], first["skipped"]) == (5, 4, 0, 1)
    [failed] = first["failed"]  # type: ignore[misc]
    assert failed["source"] == str(folder / "damaged.pdf")
    (folder / "damaged.pdf").unlink()
    (folder / "guide.md").write_bytes(GUIDE.replace(b"980", b"990"))
    status, second = ingest()
    assert (status, second["read"], second["unchanged"]) == (0, 1, 3)
    assert (second["added"], second["forgotten"]) == (1, 1)
    found = pagi("memory", "search", "crane lifts tonnes", "--home", str(twin.home), "--json").document
    assert found["items"][0]["source"] == str(folder / "old" / "wharf.pdf")
    (folder / "page.html").unlink()
    assert ingest()[1]["pruned"] == []
    assert ingest("--prune")[1]["pruned"] == [str(folder / "page.html")]
    listed = pagi("memory", "documents", "--below", str(folder / "old"), "--home", str(twin.home), "--json").document
    assert [row["source"] for row in listed["items"]] == [str(folder / "old" / "wharf.pdf")]
    people = pagi("memory", "documents", "--home", str(twin.home))
    assert (people.status, people.stdout.count(str(folder))) == (0, 3)


def test_what_is_not_there_is_said(twin: Process, tmp_path: Path) -> None:
    gone = pagi("memory", "ingest", str(tmp_path / "nowhere"), "--home", str(twin.home))
    assert gone.status != 0
    assert "nowhere" in gone.stderr
    (tmp_path / "x.bin").write_bytes(b"x")
    assert pagi("memory", "ingest", str(tmp_path / "x.bin"), "--home", str(twin.home)).status != 0


def test_a_file_that_cannot_be_named_keeps_no_other_from_being_read(twin: Process, folder: Path) -> None:
    (folder / "damaged.pdf").unlink()
    deep = folder.joinpath(*["d" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "deep.txt").write_text("too deep for a name")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("a name that is no UTF-8")
    done = pagi("memory", "ingest", str(folder), "--home", str(twin.home), "--json")
    assert (done.status, done.document["read"]) == (1, 4)
    assert sorted(failure["source"].rpartition("/")[2] for failure in done.document["failed"]) == [
        "caf\N{REPLACEMENT CHARACTER}.txt",
        "deep.txt",
    ]
    assert pagi("memory", "ingest", str(folder), "--home", str(twin.home), "--prune").status == 1


def test_a_folder_that_cannot_be_opened_is_said_and_its_documents_are_not_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, exists = os.scandir, Path.exists

    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("old"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    def unknown(path: Path) -> bool:
        if path.parent.name == "old":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(Path, "exists", unknown)
    files, _, failed = documents._found([folder], hidden=False)
    assert [file.path.name for file in files] == ["damaged.pdf", "guide.md", "page.html", "tool.py"]
    assert failed == [{"source": str(folder / "old"), "cause": "Permission denied", "code": None}]

    class Twin:
        def get(self, *path: str, query: object) -> dict[str, Any]:
            sources = [str(folder / "old" / "wharf.pdf"), str(folder / "gone.md")]
            return {"items": [{"source": source} for source in sources], "next": None}

        def delete(self, *path: str, query: object) -> None: ...

    assert documents._prune(Twin(), [folder], files) == [str(folder / "gone.md")]  # type: ignore[arg-type]
