"""The corpus of vectors/unixfs_kubo.json: contents that anybody can make again, and the CIDs that Kubo gave them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).resolve().parent / "vectors" / "unixfs_kubo.json"


@dataclass(frozen=True, slots=True)
class FileVector:
    """One file: `size_bytes` bytes of SHAKE-128 over `seed`, or as many zeros if `seed` is None."""

    seed: str | None
    size_bytes: int
    chunk_bytes: int
    cid: str

    def __str__(self) -> str:
        return f"{self.seed or 'zeros'}-{self.size_bytes}-by-{self.chunk_bytes}"

    def content(self) -> bytes:
        if self.seed is None:
            return bytes(self.size_bytes)
        return hashlib.shake_128(self.seed.encode()).digest(self.size_bytes)


def file_vectors() -> list[FileVector]:
    return [FileVector(**row) for row in json.loads(_FILE.read_bytes())["files"]]
