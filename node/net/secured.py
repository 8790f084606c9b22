"""A connection after its Noise handshake: many messages of Noise for one read or write of the socket.

The library reads and writes each message of at most 64 KiB by several calls of its own, with locks and a turn of the
loop for each, and copies it eight times: with it a block store is half as fast as the machine. The handshake stays the
library's. Specification: https://github.com/libp2p/specs/tree/master/noise. Runs on the trio side.
"""

from typing import Any, Final, cast

from cryptography.exceptions import InvalidTag
from libp2p.io.exceptions import ConnectionClosedError, DecryptionFailedException
from libp2p.security.noise.transport import Transport
from libp2p.security.secure_session import SecureSession

MAX_PLAIN_BYTES: Final = 65535 - 16
"""Plaintext of one message: its ciphertext ends with 16 bytes and has a length of two bytes."""

_READ_BYTES: Final = 256 * 1024


class Session(SecureSession):  # type: ignore[misc] # the library is not typed for us
    """What the library's session is, but quick. Nobody else reads or writes the connection under it."""

    def __init__(self, session: Any) -> None:
        super().__init__(
            local_peer=session.local_peer,
            local_private_key=session.local_private_key,
            remote_peer=session.remote_peer,
            remote_permanent_pubkey=session.remote_permanent_pubkey,
            is_initiator=session.is_initiator,
            conn=session.conn,
        )
        self._raw = session.conn.read_writer.read_write_closer
        protocol = session.conn.noise_state.noise_protocol
        self._encrypt = protocol.cipher_state_encrypt.encrypt_with_ad
        self._decrypt = protocol.cipher_state_decrypt.decrypt_with_ad
        self._cipher = bytearray()
        self._plain = b""

    async def read(self, n: int | None = None) -> bytes:
        """At least one byte and at most `n`. Raises ConnectionClosedError, DecryptionFailedException."""
        if n == 0:
            return b""
        while not self._plain:
            self._plain = b"".join(await self.receive())
        data, self._plain = self._plain[:n], self._plain[len(self._plain) if n is None else n :]
        return data

    async def receive(self) -> list[bytes]:
        """What the next messages hold, as far as they are here; perhaps nothing. Raises as `read` does."""
        if self._plain:
            rest, self._plain = self._plain, b""
            return [rest]
        data = cast(bytes, await self._raw.read(_READ_BYTES))
        if not data:
            raise ConnectionClosedError("the connection is closed")
        self._cipher += data
        messages = []
        start = 0
        with memoryview(self._cipher) as view:
            while len(view) - start >= 2:
                end = start + 2 + int.from_bytes(view[start : start + 2], "big")
                if end > len(view):
                    break
                try:
                    messages.append(self._decrypt(None, view[start + 2 : end]))
                except InvalidTag as error:
                    raise DecryptionFailedException("a message that the other side has not sealed") from error
                start = end
        del self._cipher[:start]
        return messages

    async def write(self, data: bytes) -> None:
        """Send it, in as many messages as it needs. Only one task may write at a time."""
        parts: list[bytes] = []
        for start in range(0, len(data), MAX_PLAIN_BYTES):
            sealed = self._encrypt(None, data[start : start + MAX_PLAIN_BYTES])
            parts += (len(sealed).to_bytes(2, "big"), sealed)
        await self._raw.write(b"".join(parts))

    async def close(self) -> None:
        await self._raw.close()


class NoiseTransport(Transport):  # type: ignore[misc]
    """The library's handshake, and then our session."""

    async def secure_inbound(self, conn: Any) -> Session:
        return Session(await super().secure_inbound(conn))

    async def secure_outbound(self, conn: Any, peer_id: Any) -> Session:
        return Session(await super().secure_outbound(conn, peer_id))
