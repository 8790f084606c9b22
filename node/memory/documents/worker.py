"""Reading one document in a process of its own: `python -m node.memory.documents.worker KIND NAME`, bytes on stdin.

A PDF may unfold to any size and keep a parser busy for ever; the system bounds memory and processor time here, and
whoever started this ends it when its time is over. The answer is one JSON document on stdout; nothing is logged.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Final, cast

from node.memory.documents.errors import DocumentError, DocumentTooLarge, DocumentUnreadable
from node.memory.documents.kinds import DocumentKind
from node.memory.documents.reading import MAX_DOCUMENT_BYTES, Piece, Read, read_document

MAX_MEMORY_BYTES: Final = 2 * 1024**3
"""Of address space: a few times what the largest documents take."""

MAX_CPU_S: Final = 120
MAX_WAIT_S: Final = 180.0

_TOO_LARGE: Final = "too_large"


def main() -> int:
    """Read what is on stdin. What goes wrong is part of the answer."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kind, name = sys.argv[1:3]
    answer: dict[str, object]
    try:
        read = read_document(sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1), cast("DocumentKind", kind), name)
        answer = {"title": read.title, "pieces": [[piece.heading, piece.text] for piece in read.pieces]}
    except DocumentError as error:
        answer = {"failed": _TOO_LARGE if isinstance(error, DocumentTooLarge) else "unreadable", "cause": str(error)}
    except MemoryError:
        answer = {"failed": _TOO_LARGE, "cause": "reading it takes more memory than it may"}
    sys.stdout.buffer.write(json.dumps(answer).encode("utf-8", "replace"))
    return 0


async def read_elsewhere(data: bytes, kind: DocumentKind, name: str, *, wait_s: float = MAX_WAIT_S) -> Read:
    """Read a document in a process of its own. Raises DocumentUnreadable or DocumentTooLarge."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.memory.documents.worker", kind, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "PYTHONPATH")},
    )
    try:
        async with asyncio.timeout(wait_s):
            out, _ = await process.communicate(data)
    except TimeoutError as error:
        raise DocumentUnreadable(f"reading it took more than {wait_s:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.communicate()
    try:
        answer = json.loads(out)
    except ValueError as error:  # the system ended it
        raise DocumentTooLarge("reading it takes more memory or time than it may") from error
    if failed := answer.get("failed"):
        raise (DocumentTooLarge if failed == _TOO_LARGE else DocumentUnreadable)(answer["cause"])
    return Read(answer["title"], tuple(Piece(heading, text) for heading, text in answer["pieces"]))


if __name__ == "__main__":
    sys.exit(main())
