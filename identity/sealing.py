"""From a passphrase to a key: argon2id, with the bounds of what a file may ask of this machine."""

import unicodedata
from dataclasses import dataclass
from typing import Final

import nacl.pwhash.argon2id as argon2id
from nacl.exceptions import CryptoError

from identity.errors import KeystoreError, PassphraseUnfit, WrongPassphrase

KEY_BYTES: Final = 32
SALT_BYTES: Final = argon2id.SALTBYTES

MIN_PASSPHRASE_CHARS: Final = 8
"""Fewer can be tried one by one, argon2id or not."""

MAX_PASSPHRASE_CHARS: Final = 1024
"""Nobody types more; a file named by mistake may hold more."""


@dataclass(frozen=True, slots=True)
class Kdf:
    """The cost of argon2id: passes over the memory, and the memory in bytes."""

    opslimit: int
    memlimit_bytes: int


MODERATE: Final = Kdf(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
"""256 MiB and some 0.5 s: for each guess too, and for us once at start."""

_MAX_KDF: Final = Kdf(16, 1024 * 1024 * 1024)
"""What a file may ask of us: SENSITIVE (1 GiB) and a few passes more. A hostile file must not take the machine down."""


def allowed_kdf(opslimit: object, memlimit_bytes: object) -> Kdf | None:
    """The cost that a file asks for, or None if it is none that we pay."""
    for value, low, high in (
        (opslimit, argon2id.OPSLIMIT_MIN, _MAX_KDF.opslimit),
        (memlimit_bytes, argon2id.MEMLIMIT_MIN, _MAX_KDF.memlimit_bytes),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            return None
    assert isinstance(opslimit, int)
    assert isinstance(memlimit_bytes, int)
    return Kdf(opslimit, memlimit_bytes)


def derive(passphrase: bytes, salt: bytes, kdf: Kdf) -> bytes:
    """The key, 32 bytes, of a passphrase from `checked` or `normal`. Raises KeystoreError without enough memory."""
    try:
        return argon2id.kdf(KEY_BYTES, passphrase, salt, kdf.opslimit, kdf.memlimit_bytes)
    except (CryptoError, MemoryError):
        raise KeystoreError(f"no {kdf.memlimit_bytes >> 20} MiB of memory are free to open what is sealed") from None


def checked(passphrase: str) -> bytes:
    """A passphrase to seal with. Raises PassphraseUnfit."""
    if not MIN_PASSPHRASE_CHARS <= len(passphrase) <= MAX_PASSPHRASE_CHARS:
        raise PassphraseUnfit(f"a passphrase has {MIN_PASSPHRASE_CHARS} to {MAX_PASSPHRASE_CHARS} characters")
    return normal(passphrase)


def normal(passphrase: str) -> bytes:
    """The same bytes whichever way a keyboard composes an accent (Unicode NFC). Raises WrongPassphrase if too long."""
    if len(passphrase) > MAX_PASSPHRASE_CHARS:
        raise WrongPassphrase(f"a passphrase has at most {MAX_PASSPHRASE_CHARS} characters")
    return unicodedata.normalize("NFC", passphrase).encode(errors="surrogateescape")
