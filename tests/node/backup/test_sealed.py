"""The encrypted file: what comes back, and that nothing comes out of one that was changed."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import PassphraseUnfit
from identity.sealing import Kdf
from node.backup import sealed
from node.backup.errors import BackupDamaged, BackupError, BackupSealed, NotABackup
from node.backup.sealed import CHUNK_BYTES, MAGIC, SealedReader, SealedWriter

CHEAP = Kdf(opslimit=1, memlimit_bytes=8192)
PASSPHRASE = "correct horse battery"


def seal(*parts: bytes) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, PASSPHRASE, kdf=CHEAP)
    for part in parts:
        writer.write(part)
    writer.finish()
    return file.getvalue()


def unseal(data: bytes, size_bytes: int, passphrase: str = PASSPHRASE) -> bytes:
    reader = SealedReader(io.BytesIO(data), passphrase)
    content = reader.read(size_bytes)
    reader.end()
    return content


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_written_comes_back(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    whole = seal(data[: size // 3], data[size // 3 :])
    assert unseal(whole, size) == data
    assert whole.startswith(MAGIC)


def test_the_passphrase_is_the_same_however_an_accent_was_typed() -> None:
    file = io.BytesIO()
    SealedWriter(file, "caf\u00e9 au lait", kdf=CHEAP).finish()
    unseal(file.getvalue(), 0, "cafe\u0301 au lait")


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(BackupSealed):
        unseal(seal(b"secret"), 6, "another passphrase")


def test_a_passphrase_that_is_too_short_is_refused_before_anything_is_written() -> None:
    file = io.BytesIO()
    with pytest.raises(PassphraseUnfit):
        SealedWriter(file, "short", kdf=CHEAP)
    assert file.getvalue() == b""


WHOLE = seal(bytes(2 * CHUNK_BYTES + 5))


@given(at=st.integers(0, len(WHOLE) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_is_refused(at: int, flip: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= flip
    with pytest.raises(BackupError):
        unseal(bytes(changed), 2 * CHUNK_BYTES + 5)


@pytest.mark.parametrize(
    "size", [0, 5, len(MAGIC) + 1, len(MAGIC) + 20, len(WHOLE) // 2, len(WHOLE) - 30, len(WHOLE) - 1]
)
def test_a_file_that_was_cut_is_refused(size: int) -> None:
    with pytest.raises(BackupError):
        unseal(WHOLE[:size], 2 * CHUNK_BYTES + 5)


def test_a_file_cut_between_two_chunks_is_refused() -> None:
    """Every chunk that is left authenticates; only the end is missing."""
    tail = len(WHOLE) % (CHUNK_BYTES + 17)
    last = 5 + 17
    assert tail > last
    with pytest.raises(BackupDamaged):
        unseal(WHOLE[:-last], 2 * CHUNK_BYTES)


def test_what_stands_behind_the_end_is_refused() -> None:
    with pytest.raises(BackupError):
        unseal(WHOLE + b"x", 2 * CHUNK_BYTES + 5)


def test_chunks_that_changed_places_are_refused() -> None:
    start = len(WHOLE) - (5 + 17) - 2 * (CHUNK_BYTES + 17)
    first, second = (WHOLE[start + n * (CHUNK_BYTES + 17) :][: CHUNK_BYTES + 17] for n in range(2))
    with pytest.raises(BackupError):
        unseal(WHOLE[:start] + second + first + WHOLE[start + 2 * (CHUNK_BYTES + 17) :], 2 * CHUNK_BYTES + 5)


@pytest.mark.parametrize(
    ("member", "value", "error"),
    [
        ("version", 2, NotABackup),
        ("cipher", "rot13", NotABackup),
        ("chunk_bytes", 1 << 40, BackupDamaged),
        ("chunk_bytes", True, BackupDamaged),
        ("stream", "AAAA", BackupDamaged),
        ("kdf", {"name": "argon2id", "opslimit": 1, "memlimit_bytes": 1 << 50, "salt": "AAAA"}, BackupDamaged),
        ("kdf", None, BackupDamaged),
    ],
)
def test_a_header_that_asks_for_too_much_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, member: str, value: object, error: type[BackupError]
) -> None:
    data = seal(b"x")
    length = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 2], "big")
    header = json.loads(data[len(MAGIC) + 2 : len(MAGIC) + 2 + length]) | {member: value}
    changed = json.dumps(header).encode()
    monkeypatch.setattr(sealed, "derive", lambda *_: pytest.fail("the passphrase was worked on"))
    with pytest.raises(error):
        unseal(MAGIC + len(changed).to_bytes(2, "big") + changed + data[len(MAGIC) + 2 + length :], 1)
