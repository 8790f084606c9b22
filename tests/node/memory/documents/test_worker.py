"""The process that reads: bounded in memory and time, and ended with whoever waits for it."""

import asyncio
import contextlib
import zlib

import psutil
import pytest

from node.memory.documents.errors import DocumentTooLarge, DocumentUnreadable
from node.memory.documents.worker import read_elsewhere
from tests.node.memory.documents.files import PAGE, pdf

pytestmark = pytest.mark.slow


def bomb() -> bytes:
    """A PDF whose one page unfolds to 400 MiB of drawing commands."""
    packed = zlib.compressobj(1)
    megabyte = b"BT (x) Tj ET " * (1 << 16)
    stream = b"".join(packed.compress(megabyte) for _ in range(400 * (1 << 20) // len(megabyte))) + packed.flush()
    plain = pdf(["a page"])
    start = plain.index(b"<< /Length")
    end = plain.index(b"endobj", start)
    body = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream\n" % (len(stream), stream)
    return plain[:start] + body + plain[end:]


def readers() -> set[int]:
    """The processes of this one that read a document."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "node.memory.documents.worker" in child.cmdline():
                found.add(child.pid)
    return found


def test_it_reads_as_in_this_process() -> None:
    read = asyncio.run(read_elsewhere(PAGE, "html", "page.html"))
    assert read.title == "Tides & mills"
    assert len(read.pieces) > 2


def test_a_file_that_unfolds_without_end_is_refused() -> None:
    with pytest.raises((DocumentTooLarge, DocumentUnreadable)):
        asyncio.run(read_elsewhere(bomb(), "pdf", "bomb.pdf"))
    assert not readers()


def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(DocumentUnreadable, match="took more than"):
        asyncio.run(read_elsewhere(PAGE, "html", "page.html", wait_s=0.001))
    assert not readers()


def test_it_ends_when_nobody_waits_any_more() -> None:
    async def main() -> None:
        task = asyncio.create_task(read_elsewhere(bomb(), "pdf", "bomb.pdf"))
        while not readers():  # noqa: ASYNC110 - another process starts, which sets no event of ours
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not readers()
