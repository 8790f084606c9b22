"""The commands of content against a fake twin over HTTP: what they write, print and refuse."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from node.cli import content_add
from node.cli.client import Client
from node.cli.errors import FileUnreadable
from node.cli.main import main
from protocols.ipld.car import car_header, car_section
from protocols.limits import MAX_PATH_PARTS
from protocols.unixfs.directory import build_directory
from protocols.unixfs.layout import build_file
from tests.node.content.content_parts import files_below


class Pagi:
    """Runs commands in this process, as a person would type them."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: object, status: int = 0) -> str:
        got = main(["--home", str(self._home), "ipfs", *map(str, words)])
        out, self.err = self._capsys.readouterr()
        assert got == status, (got, out, self.err)
        return out

    def json(self, *words: object, status: int = 0) -> Any:
        return json.loads(self(*words, "--json", status=status))


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tides"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "high.txt").write_text("the tide comes in")
    (folder / "sub" / "low.bin").write_bytes(os.urandom(600_000))
    (folder / "sub" / "link").symlink_to("..//./high.txt")
    (folder / ".mine").write_text("a secret")
    return folder


def test_a_file_goes_in_and_out(pagi: Pagi, tmp_path: Path) -> None:
    data = os.urandom(1_500_000)
    (tmp_path / "file").write_bytes(data)
    cid = str(build_file(data)[0])
    assert pagi("add", tmp_path / "file") == f"{cid}  1.5 MB\n"
    assert pagi.json("add", tmp_path / "file", "--chunker", "size-1048576", "--no-pin")["cid"] == str(
        build_file(data, chunk_bytes=1_048_576)[0]
    )
    pagi("cat", cid, "--offset", 10, "--length", 20, "--output", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == data[10:30]
    pagi("cat", cid, "--offset", 1_500_001, "--output", tmp_path / "none", status=1)
    assert "1500000 bytes" in pagi.err
    assert not (tmp_path / "none").exists()
    wrapped = pagi.json("add", tmp_path / "file", "--wrap")["cid"]
    assert "file" in pagi("ls", wrapped)
    assert pagi.json("stat", f"{wrapped}/file")["cid"] == cid


def test_standard_input(pagi: Pagi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    added = pagi.json("add", "-", "--name", "pipe.txt", "--wrap")
    assert pagi.json("ls", added["cid"])["items"][0]["name"] == "pipe.txt"
    pagi("add", "-", "--wrap", status=2)
    assert "--name" in pagi.err


def test_a_folder_goes_in_and_out(pagi: Pagi, folder: Path, tmp_path: Path) -> None:
    cid = pagi.json("add", folder)["cid"]
    assert "1 hidden" in pagi.err
    out = pagi("ls", cid)
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["high.txt", "sub/"]
    assert "link -> ..//./high.txt" in pagi("ls", f"{cid}/sub")
    got = tmp_path / "got"
    assert str(got) in pagi("get", cid, "--output", got)
    wanted = {name: data for name, data in files_below(folder).items() if name != ".mine"}
    assert files_below(got) == wanted
    assert os.readlink(got / "sub" / "link") == "..//./high.txt"  # noqa: PTH115 - to the letter
    assert (got / "sub" / "empty").is_dir()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    whole = pagi.json("add", folder, "--hidden", "--wrap")["cid"]
    assert pagi.json("stat", f"{whole}/tides/.mine")["size_bytes"] == 8


def test_get_never_writes_over_what_is_there_unless_it_is_told_to(
    pagi: Pagi, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = pagi.json("add", folder)["cid"]
    got = tmp_path / "got"
    got.mkdir()
    (got / "mine.txt").write_text("mine")
    (got / "high.txt").write_text("old")
    pagi("get", cid, "-o", got, status=2)
    assert "--force" in pagi.err
    assert (got / "high.txt").read_text() == "old"
    pagi("get", cid, "-o", got, "--force")
    assert (got / "high.txt").read_text() == "the tide comes in"
    assert (got / "mine.txt").read_text() == "mine"
    pagi("get", cid, "-o", got, "--force")
    monkeypatch.chdir(tmp_path)
    pagi("get", f"{cid}/high.txt")
    assert (tmp_path / "high.txt").read_text() == "the tide comes in"
    pagi("get", f"{cid}/high.txt", status=2)
    pagi("get", f"{cid}/high.txt", "--force", "-o", got, status=2)


def test_get_writes_through_no_link_that_stands_in_its_way(pagi: Pagi, folder: Path, tmp_path: Path) -> None:
    cid = pagi.json("add", folder)["cid"]
    elsewhere, got = tmp_path / "elsewhere", tmp_path / "got"
    elsewhere.mkdir()
    got.mkdir()
    (got / "sub").symlink_to(elsewhere)
    pagi("get", cid, "-o", got, "--force")
    assert list(elsewhere.iterdir()) == []
    assert (got / "sub" / "low.bin").exists()
    assert not (got / "sub").is_symlink()


def test_get_goes_on_where_it_was_cut_off(
    pagi: Pagi, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = pagi.json("add", folder)["cid"]
    low = pagi.json("stat", f"{cid}/sub/low.bin")["cid"]
    data = (folder / "sub" / "low.bin").read_bytes()
    part = tmp_path / f".got.{cid[-12:]}.part"
    (part / "tree").mkdir(parents=True)
    (part / "tree" / "high.txt").write_text("the tide was in")  # shows that it is not fetched again
    (part / low).write_bytes(b"X" * 100 + data[100:300_000])
    pagi("get", cid, "-o", tmp_path / "got")
    assert (tmp_path / "got" / "high.txt").read_text() == "the tide was in"
    assert (tmp_path / "got" / "sub" / "low.bin").read_bytes() == b"X" * 100 + data[100:]
    assert not part.exists()


def test_what_cannot_be_added(pagi: Pagi, tmp_path: Path) -> None:
    pagi("add", tmp_path / "none", status=1)
    assert "cannot read" in pagi.err
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "passwords").symlink_to("/etc/passwd")
    problem = pagi.json("add", evil, status=1)
    assert problem["code"] == 40045
    assert "leads out" in pagi.err
    (evil / "passwords").unlink()
    os.mkfifo(evil / "pipe")
    pagi("add", evil, status=2)
    assert "pipe" in pagi.err


def test_a_file_that_shrinks_while_it_is_sent_is_said(folder: Path) -> None:
    stream = content_add.Tree.of(folder, hidden=False).as_tar(lambda _: None)
    next(stream)
    (folder / "high.txt").write_text("gone")
    with pytest.raises(FileUnreadable, match="shorter"):
        list(stream)


def test_pins_and_room(pagi: Pagi, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := os.urandom(400_000))
    cid = pagi.json("add", tmp_path / "file", "--name", "mine")["cid"]
    assert "400 kB" in pagi("pin", cid, "--name", "mine")
    assert pagi.json("pins", "--name", "mine")["items"] == [{"cid": cid, "kind": "recursive", "name": "mine"}]
    assert cid in pagi("pins", "--kind", "recursive", "--limit", "500")
    (tmp_path / "photo").write_bytes(b"sea")
    called = pagi.json("add", tmp_path / "photo")["cid"]
    assert {"cid": called, "kind": "recursive", "name": "photo"} in pagi.json("pins", "--name", "photo")["items"]
    assert pagi.json("add", tmp_path / "photo", "--no-pin")["cid"] == called
    used = pagi.json("usage")["size_bytes"]
    assert "embedded backend" in pagi("usage")
    pagi("unpin", cid)
    pagi("unpin", cid, status=1)
    assert "not pinned" in pagi.err
    freed = pagi.json("gc")
    assert freed["size_bytes"] >= len(data)
    assert pagi.json("usage")["size_bytes"] == used - freed["size_bytes"]
    assert pagi("gc") == "Nothing to free.\n"
    pagi("pin", cid, status=1)
    assert pagi.json("pin", cid, status=1)["code"] == 40452


def test_cars_go_out_and_in(pagi: Pagi, folder: Path, tmp_path: Path) -> None:
    cid = pagi.json("add", folder)["cid"]
    car = tmp_path / "tides.car"
    assert pagi.json("export", cid, car)["size_bytes"] == car.stat().st_size
    pagi("unpin", cid)
    pagi("gc")
    car.write_bytes(car.read_bytes()[:-1])
    pagi("import", car, status=1)
    assert "cut short" in pagi.err
    pagi("gc")
    pagi("export", cid, tmp_path / "none.car", status=1)
    assert not (tmp_path / "none.car").exists()


def test_a_car_is_imported(pagi: Pagi, folder: Path, tmp_path: Path) -> None:
    cid = pagi.json("add", folder)["cid"]
    pagi("export", cid, tmp_path / "tides.car")
    pagi("unpin", cid)
    pagi("gc")
    assert pagi("import", tmp_path / "tides.car", "--name", "back") == f"{cid}\n"
    assert pagi.json("pins", "--name", "back")["items"][0]["cid"] == cid


def import_nested(pagi: Pagi, tmp_path: Path, *, depth: int, names: str) -> str:
    """A folder of `depth` folders below each other, each by all of these names of one letter."""
    entry, blocks = build_directory({})
    for _ in range(depth):
        entry, more = build_directory(dict.fromkeys(names, entry))
        blocks += more
    car = tmp_path / "nested.car"
    car.write_bytes(car_header([entry.cid]) + b"".join(car_section(cid, block) for cid, block in blocks))
    assert pagi("import", car) == f"{entry.cid}\n"
    return str(entry.cid)


@pytest.mark.parametrize(("depth", "names"), [(MAX_PATH_PARTS + 2, "a"), (12, "ab")])
def test_a_folder_that_no_disk_could_take_is_refused_before_it_is_looked_through(
    pagi: Pagi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int, names: str
) -> None:
    cid, asked, get = import_nested(pagi, tmp_path, depth=depth, names=names), 0, Client.get

    def counted(client: Client, *parts: Any, **more: Any) -> Any:
        nonlocal asked
        asked += 1
        return get(client, *parts, **more)

    monkeypatch.setattr("node.cli.content_files.MAX_TREE_ENTRIES", 200)
    monkeypatch.setattr(Client, "get", counted)
    pagi("get", cid, "-o", tmp_path / "got", status=2)
    assert "deeper than" in pagi.err
    assert asked <= 202
    assert not (tmp_path / "got").exists()
