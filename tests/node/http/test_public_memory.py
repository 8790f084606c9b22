"""What connections to the public listener hold in memory together, with frames and bodies that never end."""

import asyncio
import base64
import os
import struct

import aiohttp

from node.http.listening import Bounds
from protocols import limits
from tests.node.http.test_public import HEADERS, FakeDoor, ended, serving

KIB = 1024
TEXT, CONTINUATION = 1, 0
HANDSHAKE = (
    b"GET /didcomm HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: "
)


class RawSocket:
    """A WebSocket whose client writes whatever bytes a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str) -> "RawSocket":
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(HANDSHAKE + base64.b64encode(os.urandom(16)) + b"\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def close(self) -> None:
        await ended(self.writer)

    async def ended(self) -> None:
        """Wait until the listener has ended the connection."""
        try:
            while await self.reader.read(KIB):
                pass
        except ConnectionError:
            pass


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    head = bytes([0x80 * last | opcode, 0x80 | 127]) + struct.pack(">Q", len(payload)) + bytes(4)
    return head + payload


async def post(url: str, packed: bytes) -> None:
    async with aiohttp.request("POST", f"{url}/didcomm", data=packed, headers=HEADERS) as response:
        assert response.status == 202


def test_frames_that_never_end_hold_only_so_much_together() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with serving(door, bounds=Bounds(unread_bytes=2048 * KIB)) as url:
            sockets = [await RawSocket.open(url) for _ in range(12)]
            ends = [asyncio.create_task(socket.ended()) for socket in sockets]
            for number, socket in enumerate(sockets):
                one = frame(TEXT, b"x" * 512 * KIB)
                two = frame(TEXT, b"x" * 256 * KIB, last=False) + frame(CONTINUATION, b"x" * 256 * KIB)
                socket.write(frame(TEXT, b"taken") + (one if number % 2 else two)[:-1])
            async with asyncio.timeout(20):
                while sum(end.done() for end in ends) < len(sockets) - 4:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED, timeout=1)
                await post(url, b"honest")
            assert [packed for _, packed in door.taken].count(b"honest") == 1
            for end in ends:
                end.cancel()
            await asyncio.wait(ends)
            for socket in sockets:
                await socket.close()

    asyncio.run(main())


def test_a_socket_that_is_read_holds_nothing_however_much_it_brings() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with serving(door, bounds=Bounds(unread_bytes=128 * KIB)) as url:
            socket = await RawSocket.open(url)
            idle = await RawSocket.open(url)
            idle.write(frame(TEXT, b"x" * KIB)[:-1])
            for _ in range(100):
                socket.write(frame(TEXT, b"x" * 50 * KIB))
                await door.arrived.get()
            for _ in range(5):
                await post(url, b"x" * 100 * KIB)
                await door.arrived.get()
            idle.write(b"x")
            await door.arrived.get()
            assert len(door.taken) == 106
            for one in (socket, idle):
                await one.close()

    asyncio.run(main())


def test_the_longest_message_fits_into_the_bound_many_times() -> None:
    assert limits.MAX_PUBLIC_UNREAD_BYTES >= 2 * limits.MAX_PUBLIC_BODIES * limits.MAX_DIDCOMM_BYTES
