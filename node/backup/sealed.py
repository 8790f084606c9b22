"""The encrypted file: a header in clear, then chunks of an XChaCha20-Poly1305 secretstream (libsodium).

    magic       12 bytes  "PAGI-BACKUP\\n"
    length       2 bytes  of the header, big-endian
    header                JSON: format version, argon2id parameters and salt, chunk size, the stream's header
    chunks                each of `chunk_bytes` and 17 bytes more, the last one shorter or equal and tagged FINAL

All before the chunks is authenticated with the first chunk, each chunk with all before it, and the end by its tag:
what was changed, cut or put together from two files does not open. Memory is bounded by one chunk.
"""

import json
from typing import BinaryIO, Final

import nacl.utils
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_ABYTES as TAG_BYTES,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_HEADERBYTES as STREAM_HEADER_BYTES,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_init_pull,
    crypto_secretstream_xchacha20poly1305_init_push,
    crypto_secretstream_xchacha20poly1305_pull,
    crypto_secretstream_xchacha20poly1305_push,
    crypto_secretstream_xchacha20poly1305_state,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_TAG_FINAL as FINAL,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_TAG_MESSAGE as MORE,
)

from identity.errors import MalformedMultibase
from identity.multibase import base64url, from_base64url
from identity.sealing import MODERATE, SALT_BYTES, Kdf, allowed_kdf, checked, derive, normal
from node.backup.errors import BackupDamaged, BackupSealed, NotABackup

MAGIC: Final = b"PAGI-BACKUP\n"
VERSION: Final = 1
CHUNK_BYTES: Final = 256 * 1024

_MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024
"""What a file may make us hold at once."""

_LENGTH_BYTES: Final = 2


class SealedWriter:
    """Encrypts what is written to it into `file`. `finish` makes it whole; without that it will never open."""

    def __init__(self, file: BinaryIO, passphrase: str, *, kdf: Kdf = MODERATE) -> None:
        """Raises PassphraseUnfit before anything is written."""
        salt = nacl.utils.random(SALT_BYTES)
        key = derive(checked(passphrase), salt, kdf)
        self._file = file
        self._state = crypto_secretstream_xchacha20poly1305_state()
        stream_header = crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        header = json.dumps(
            {
                "version": VERSION,
                "kdf": {
                    "name": "argon2id",
                    "opslimit": kdf.opslimit,
                    "memlimit_bytes": kdf.memlimit_bytes,
                    "salt": base64url(salt),
                },
                "cipher": "xchacha20-poly1305-secretstream",
                "chunk_bytes": CHUNK_BYTES,
                "stream": base64url(stream_header),
            }
        ).encode()
        preamble = MAGIC + len(header).to_bytes(_LENGTH_BYTES, "big") + header
        file.write(preamble)
        self._unproven: bytes | None = preamble
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        """Encrypt `data`, in chunks of a fixed size."""
        self._held += data
        while len(self._held) > CHUNK_BYTES:  # a full chunk stays: it may be the last one
            self._push(bytes(self._held[:CHUNK_BYTES]), MORE)
            del self._held[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk."""
        self._push(bytes(self._held), FINAL)

    def _push(self, chunk: bytes, tag: int) -> None:
        self._file.write(crypto_secretstream_xchacha20poly1305_push(self._state, chunk, self._unproven, tag))
        self._unproven = None


class SealedReader:
    """Decrypts a file that a SealedWriter wrote. Every byte that it gives was authenticated."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """Raises NotABackup, BackupSealed for a wrong passphrase, BackupDamaged."""
        self._file = file
        preamble, header = _preamble(file)
        kdf, salt = _kdf(header)
        self._chunk_bytes = _chunk_bytes(header)
        stream_header = _binary(header.get("stream"), STREAM_HEADER_BYTES)
        key = derive(normal(passphrase), salt, kdf)
        self._state = crypto_secretstream_xchacha20poly1305_state()
        crypto_secretstream_xchacha20poly1305_init_pull(self._state, stream_header, key)
        self._held = b""
        self._ended = False
        self._pull(preamble)

    def read(self, size_bytes: int) -> bytes:
        """Exactly so many bytes. Raises BackupDamaged if the file was changed or ends before."""
        parts = []
        while size_bytes:
            if not self._held:
                self._pull(None)
            part, self._held = self._held[:size_bytes], self._held[size_bytes:]
            parts.append(part)
            size_bytes -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Check that the file ends here, as its writer ended it. Raises BackupDamaged."""
        if self._held or not self._ended or self._file.read(1):
            raise BackupDamaged("the backup does not end where it should")

    def _pull(self, preamble: bytes | None) -> None:
        if self._ended:
            raise BackupDamaged("the backup ends in the middle of a file")
        sealed = self._file.read(self._chunk_bytes + TAG_BYTES)
        if len(sealed) < TAG_BYTES:
            raise BackupDamaged("the backup was cut off")
        try:
            self._held, tag = crypto_secretstream_xchacha20poly1305_pull(self._state, sealed, preamble)
        except RuntimeError:
            if preamble is not None:
                raise BackupSealed("the passphrase does not open the backup, or its beginning was changed") from None
            raise BackupDamaged("the backup was changed or cut off") from None
        self._ended = tag == FINAL
        if not self._held and not self._ended:
            raise BackupDamaged("the backup holds an empty chunk")


def is_backup(file: BinaryIO) -> bool:
    """Whether a file begins as a backup does."""
    return file.read(len(MAGIC)) == MAGIC


def _preamble(file: BinaryIO) -> tuple[bytes, dict[str, object]]:
    start = file.read(len(MAGIC) + _LENGTH_BYTES)
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + _LENGTH_BYTES:
        raise NotABackup("the file does not begin as a backup does")
    length = int.from_bytes(start[len(MAGIC) :], "big")
    data = file.read(length)
    try:
        header = json.loads(data)
    except (ValueError, RecursionError):
        raise BackupDamaged("the backup's header is damaged") from None
    if len(data) < length or not isinstance(header, dict):
        raise BackupDamaged("the backup's header is damaged")
    if header.get("version") != VERSION or header.get("cipher") != "xchacha20-poly1305-secretstream":
        raise NotABackup("the backup is of a version that this program does not know")
    return start + data, header


def _kdf(header: dict[str, object]) -> tuple[Kdf, bytes]:
    kdf = header.get("kdf")
    if not isinstance(kdf, dict) or kdf.get("name") != "argon2id":
        raise BackupDamaged("the backup does not say how it is sealed")
    cost = allowed_kdf(kdf.get("opslimit"), kdf.get("memlimit_bytes"))
    if cost is None:
        raise BackupDamaged("the backup asks for a key derivation outside of what is allowed")
    return cost, _binary(kdf.get("salt"), SALT_BYTES)


def _chunk_bytes(header: dict[str, object]) -> int:
    value = header.get("chunk_bytes")
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_CHUNK_BYTES:
        raise BackupDamaged("the backup has chunks of a size that is not allowed")
    return value


def _binary(value: object, size_bytes: int) -> bytes:
    try:
        data = from_base64url(value) if isinstance(value, str) else b""
    except MalformedMultibase:
        data = b""
    if len(data) != size_bytes:
        raise BackupDamaged("the backup's header is damaged")
    return data
