"""The keystore file, `identity.json`: the twin's seed, sealed by a passphrase or, if the owner says so, in clear.

Sealed: argon2id turns the passphrase into a key, XChaCha20-Poly1305 encrypts the 32-byte seed, and everything else in
the file is authenticated with it (as additional data, JCS), so that no parameter can be changed unseen. Unsealed is for
machines that start unattended: the file says `"sealed": false`, and only its mode (0600) guards the seed.

The secret is never part of a representation or an error. Nothing here asks a person: the passphrase is passed in.
"""

import contextlib
import json
import os
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nacl.pwhash.argon2id as argon2id
import nacl.utils
import rfc8785
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from identity.did import Did, did_key
from identity.errors import (
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreMissing,
    MalformedMultibase,
    PassphraseNeeded,
    PassphraseUnfit,
    WrongPassphrase,
)
from identity.keys import SEED_BYTES, KeyPair
from identity.multibase import base64url, from_base64url

FORMAT: Final = "pagi-keystore"
VERSION: Final = 1

MIN_PASSPHRASE_CHARS: Final = 8
"""Fewer can be tried one by one, argon2id or not."""

MAX_PASSPHRASE_CHARS: Final = 1024
"""Nobody types more; a file named by mistake may hold more."""

MAX_FILE_BYTES: Final = 16 * 1024
"""A keystore has about 500 bytes."""


@dataclass(frozen=True, slots=True)
class Kdf:
    """The cost of argon2id: passes over the memory, and the memory in bytes."""

    opslimit: int
    memlimit_bytes: int


MODERATE: Final = Kdf(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
"""256 MiB and some 0.5 s: for each guess too, and for us once at start."""

_MAX_KDF: Final = Kdf(16, 1024 * 1024 * 1024)
"""What a file may ask of us: SENSITIVE (1 GiB) and a few passes more. A hostile file must not take the machine down."""


@dataclass(frozen=True, slots=True)
class Keystore:
    """What a keystore file gave us. `readable_by_others` is a reason to warn the owner."""

    keys: KeyPair
    did: Did
    sealed: bool
    readable_by_others: bool = False


def create(path: Path, seed: bytes, passphrase: str | None, *, kdf: Kdf = MODERATE) -> None:
    """Write a new keystore of mode 0600; it is on disk, whole, when this returns. None leaves the seed unsealed.

    Raises KeystoreExists, PassphraseUnfit if the passphrase is too short or too long, KeystoreError if the file cannot
    be written.
    """
    header: dict[str, object] = {"format": FORMAT, "version": VERSION, "did": did_key(KeyPair(seed).public)}
    if passphrase is None:
        document = {**header, "sealed": False, "seed": base64url(seed)}
    else:
        document = _seal({**header, "sealed": True}, seed, passphrase, kdf)
    _write_new(path, json.dumps(document, indent=2).encode() + b"\n")


def load(path: Path, passphrase: Callable[[], str | None]) -> Keystore:
    """Read a keystore. `passphrase` is called only if it is sealed; None means that nobody can be asked.

    Raises KeystoreMissing, KeystoreDamaged, PassphraseNeeded, PassphraseUnfit, WrongPassphrase, or KeystoreError if
    the file cannot be read.
    """
    data, readable_by_others = _read(path)
    document = _parse(data, path)
    sealed = document["sealed"] is True
    keys = KeyPair(_unseal(document, passphrase, path) if sealed else _decoded(document, "seed", SEED_BYTES, path))
    did = did_key(keys.public)
    if document["did"] != did:
        raise KeystoreDamaged(f"{path} holds another key than that of the DID it names")
    return Keystore(keys, did, sealed, readable_by_others)


def _seal(header: Mapping[str, object], seed: bytes, passphrase: str, kdf: Kdf) -> dict[str, object]:
    salt = nacl.utils.random(argon2id.SALTBYTES)
    nonce = nacl.utils.random(Aead.NONCE_SIZE)
    authenticated: dict[str, object] = {
        **header,
        "kdf": {
            "name": "argon2id",
            "opslimit": kdf.opslimit,
            "memlimit_bytes": kdf.memlimit_bytes,
            "salt": base64url(salt),
        },
        "cipher": {"name": "xchacha20-poly1305", "nonce": base64url(nonce)},
    }
    key = _derive(_checked_passphrase(passphrase), salt, kdf)
    box = Aead(key).encrypt(seed, rfc8785.dumps(authenticated), nonce)
    return {**authenticated, "ciphertext": base64url(box.ciphertext)}


def _unseal(document: dict[str, object], passphrase: Callable[[], str | None], path: Path) -> bytes:
    kdf, cipher = document.get("kdf"), document.get("cipher")
    if not isinstance(kdf, dict) or not isinstance(cipher, dict):
        raise KeystoreDamaged(f"{path} does not say how it is sealed")
    if kdf.get("name") != "argon2id" or cipher.get("name") != "xchacha20-poly1305":
        raise KeystoreDamaged(f"{path} is sealed in a way that this version does not know")
    cost = Kdf(
        _bounded(kdf.get("opslimit"), argon2id.OPSLIMIT_MIN, _MAX_KDF.opslimit, path),
        _bounded(kdf.get("memlimit_bytes"), argon2id.MEMLIMIT_MIN, _MAX_KDF.memlimit_bytes, path),
    )
    salt = _decoded(kdf, "salt", argon2id.SALTBYTES, path)
    nonce = _decoded(cipher, "nonce", Aead.NONCE_SIZE, path)
    ciphertext = _decoded(document, "ciphertext", SEED_BYTES + Aead.MACBYTES, path)
    authenticated = _jcs({key: value for key, value in document.items() if key != "ciphertext"}, path)
    given = passphrase()
    if given is None:
        raise PassphraseNeeded(f"{path} is sealed by a passphrase")
    try:
        return Aead(_derive(_normal(given), salt, cost)).decrypt(ciphertext, authenticated, nonce)
    except CryptoError:
        raise WrongPassphrase(f"the passphrase does not open {path}, or the file was changed") from None


def _jcs(document: dict[str, object], path: Path) -> bytes:
    try:
        return bytes(rfc8785.dumps(document))
    except (ValueError, RecursionError):
        raise KeystoreDamaged(f"{path} holds what no keystore holds") from None


def _derive(passphrase: bytes, salt: bytes, kdf: Kdf) -> bytes:
    try:
        return argon2id.kdf(Aead.KEY_SIZE, passphrase, salt, kdf.opslimit, kdf.memlimit_bytes)
    except (CryptoError, MemoryError):
        raise KeystoreError(f"no {kdf.memlimit_bytes >> 20} MiB of memory are free to open the keystore") from None


def _checked_passphrase(passphrase: str) -> bytes:
    if not MIN_PASSPHRASE_CHARS <= len(passphrase) <= MAX_PASSPHRASE_CHARS:
        raise PassphraseUnfit(f"a passphrase has {MIN_PASSPHRASE_CHARS} to {MAX_PASSPHRASE_CHARS} characters")
    return _normal(passphrase)


def _normal(passphrase: str) -> bytes:
    """The same bytes whichever way a keyboard composes an accent (Unicode NFC)."""
    if len(passphrase) > MAX_PASSPHRASE_CHARS:
        raise WrongPassphrase(f"a passphrase has at most {MAX_PASSPHRASE_CHARS} characters")
    return unicodedata.normalize("NFC", passphrase).encode(errors="surrogateescape")


def _parse(data: bytes, path: Path) -> dict[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise KeystoreDamaged(f"{path} is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KeystoreDamaged(f"{path} is not a keystore")
    if document.get("version") != VERSION:
        raise KeystoreDamaged(f"{path} is a keystore of another version than {VERSION}")
    if not isinstance(document.get("sealed"), bool) or not isinstance(document.get("did"), str):
        raise KeystoreDamaged(f"{path} does not say whose it is or whether it is sealed")
    return document


def _decoded(document: Mapping[str, object], name: str, size_bytes: int, path: Path) -> bytes:
    value = document.get(name)
    try:
        data = from_base64url(value) if isinstance(value, str) else b""
    except MalformedMultibase:
        data = b""
    if len(data) != size_bytes:
        raise KeystoreDamaged(f"{name!r} in {path} is not {size_bytes} bytes of base64url")
    return data


def _bounded(value: object, low: int, high: int, path: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise KeystoreDamaged(f"{path} asks for a key derivation outside of what is allowed")
    return value


def _read(path: Path) -> tuple[bytes, bool]:
    """The file's bytes, and whether somebody other than its owner may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise KeystoreMissing(f"there is no {path}") from None
    except OSError as error:
        raise KeystoreError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise KeystoreDamaged(f"{path} is far too large for a keystore")
    return data, bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _write_new(path: Path, data: bytes) -> None:
    """Put `data` at `path`, which must not exist: whole or not at all, whatever crashes.

    A complete temporary file is linked to its name; linking fails if the name is taken, where renaming would replace.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # O_EXCL, mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise KeystoreExists(f"{path} exists") from None
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut. Windows has no such call and writes names through by itself."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
