"""What the tests of the content service share: blocks, streams, tar files, and where the blocks may be."""

import io
import os
import tarfile
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from node.content.blocks import Blocks
from node.content.content import Content
from protocols import dag_cbor
from tests.node.content.fake_blocks import FakeBlocks


def raw(data: bytes | None = None) -> tuple[Cid, bytes]:
    """A block without links; another one each time without `data`."""
    data = os.urandom(40) if data is None else data
    return Cid.of(CODEC_RAW, data), data


def naming(*cids: Cid) -> tuple[Cid, bytes]:
    """A block that links to these; another one each time."""
    block = dag_cbor.encode([os.urandom(8), *map(bytes, cids)])
    return Cid.of(CODEC_DAG_CBOR, block), block


async def keep(blocks: Blocks, *pairs: tuple[Cid, bytes]) -> None:
    async with blocks.hold() as hold:
        await hold.put_many(pairs)


async def no_roots() -> Collection[Cid]:
    return ()


def content_over(blocks: FakeBlocks) -> Content:
    return Content(blocks=blocks, roots=no_roots)


async def pieces(data: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """A stream of `data` in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def broken_off(data: bytes, error: Exception) -> AsyncIterator[bytes]:
    """A stream that fails after `data`."""
    async for piece in pieces(data):
        yield piece
    raise error


def tar_of(members: dict[str, bytes | str | None], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar file: bytes are a file's content, text is where a symbolic link leads, None makes a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name, value in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(value, bytes):
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
            else:
                info.type = tarfile.DIRTYPE if value is None else tarfile.SYMTYPE
                info.linkname = value or ""
                tar.addfile(info)
    return buffer.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
