"""`pagi memory ingest` against a real twin: folders, again, changes, files that cannot be read, files that are gone."""

from pathlib import Path

import pytest

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
