"""What a process writes to stderr at DEBUG of requests that are none: not what stands in them."""

import subprocess
import sys

SERVE_NONSENSE = """
import asyncio, logging
from node.http.listening import listen
from node.http.public import make_public_app
from node.process import log_to_stderr
from tests.node.http.test_public import FakeDoor

ENCRYPTED = "Content-Type: application/didcomm-encrypted+json"
NONSENSE = (
    "GET /invitation?_oob=axolotl\\0 HTTP/1.1",
    "axolotl",
    "GET / HTTP/1.1\\r\\nAuthorization: Bearer axolotl\\0",
    f"POST /didcomm HTTP/1.1\\r\\nHost: a\\r\\n{ENCRYPTED}\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\naxolotl\\r\\n",
)

async def main():
    async with listen(make_public_app(FakeDoor()), "127.0.0.1", 0) as url:
        for text in NONSENSE:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(text.encode() + b"\\r\\n\\r\\n")
            assert b" 400 " in await reader.readline()
            writer.close()

log_to_stderr("DEBUG")
logging.getLogger("node").debug("it is DEBUG")
asyncio.run(main())
"""


def test_a_malformed_request_is_not_quoted_in_the_log() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE_NONSENSE], capture_output=True, text=True, timeout=60, check=True
    )
    assert "it is DEBUG" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
