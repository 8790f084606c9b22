"""The keystore file, `identity.json`: the twin's seed, sealed by a passphrase or, if the owner says so, in clear.

Sealed: argon2id turns the passphrase into a key, XChaCha20-Poly1305 encrypts the 32-byte seed, and everything else in
the file is authenticated with it (as additional data, JCS), so that no parameter can be changed unseen. Unsealed is for
machines that start unattended: the file says `"sealed": false`, and only its mode (0600) guards the seed.

Where the key was replaced, the file also holds the keys before it, sealed in the same way, and with each the papers
that it signed about its successor. Replacing a key is one rename of this file: the old state or the new, never half.

The secret is never part of a representation or an error. Nothing here asks a person: the passphrase is passed in.
"""

import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    WrongPassphrase,
)
from identity.keys import SEED_BYTES, KeyPair
from identity.multibase import base64url, from_base64url
from identity.sealing import MODERATE, SALT_BYTES, Kdf, allowed_kdf, checked, derive, normal

FORMAT: Final = "pagi-keystore"
VERSION: Final = 1
ROTATED_VERSION: Final = 2
"""Of a file with retired keys: a program that does not know them must not open it and go on with half of its names."""

MAX_RETIRED: Final = 8
"""Keys before the present one that are kept. A message comes at most a week late, and nobody rotates daily."""

MAX_PAPERS_CHARS: Final = 16 * 1024
"""What is kept of one rotation for others to see: a credential and two signed messages, some 5 KiB."""

MAX_FILE_BYTES: Final = 160 * 1024
"""A keystore has about 500 bytes, and up to MAX_PAPERS_CHARS more for each retired key."""


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that was replaced. `papers` are texts for others to see, by name; what they are is not known here."""

    keys: KeyPair
    papers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Keystore:
    """What a keystore file gave us. `readable_by_others` is a reason to warn the owner.

    `retired` are the keys before this one, oldest first; `rotations` counts also those that are not kept any more.
    """

    keys: KeyPair
    did: Did
    sealed: bool
    readable_by_others: bool = False
    retired: tuple[Retired, ...] = ()
    rotations: int = 0


def create(path: Path, seed: bytes, passphrase: str | None, *, kdf: Kdf = MODERATE) -> None:
    """Write a new keystore of mode 0600; it is on disk, whole, when this returns. None leaves the seed unsealed.

    Raises KeystoreExists, PassphraseUnfit if the passphrase is too short or too long, KeystoreError if the file cannot
    be written.
    """
    header: dict[str, object] = {"format": FORMAT, "version": VERSION, "did": did_key(KeyPair(seed).public)}
    _write(path, _encoded(header, [seed], passphrase, kdf), os.link)


def replace_key(
    path: Path,
    held: Keystore,
    seed: bytes,
    *,
    papers: Mapping[str, str],
    passphrase: str | None,
    kdf: Kdf = MODERATE,
) -> None:
    """Put a new key in the place of that of `held`, which is kept as retired with its `papers`.

    One rename does it: whatever crashes, the file is the old one or the new one. `passphrase` is the one that opened
    it, None for an unsealed file. Raises KeystoreError if the file cannot be written.
    """
    assert held.sealed == (passphrase is not None)
    assert sum(map(len, papers.values())) <= MAX_PAPERS_CHARS
    retired = (*held.retired, Retired(held.keys, papers))[-MAX_RETIRED:]
    header: dict[str, object] = {
        "format": FORMAT,
        "version": ROTATED_VERSION,
        "did": did_key(KeyPair(seed).public),
        "rotations": held.rotations + 1,
        "retired": [{"did": did_key(old.keys.public), "papers": dict(old.papers)} for old in retired],
    }
    seeds = [seed, *(old.keys.seed for old in retired)]
    _write(path, _encoded(header, seeds, passphrase, kdf), Path.replace)


def _encoded(header: Mapping[str, object], seeds: Sequence[bytes], passphrase: str | None, kdf: Kdf) -> bytes:
    """The file's bytes; the seeds are the present one and then the retired ones."""
    secret = b"".join(seeds)
    if passphrase is None:
        document = {**header, "sealed": False, "seed": base64url(secret)}
    else:
        document = _seal({**header, "sealed": True}, secret, passphrase, kdf)
    return json.dumps(document, indent=2).encode() + b"\n"


def load(path: Path, passphrase: Callable[[], str | None]) -> Keystore:
    """Read a keystore. `passphrase` is called only if it is sealed; None means that nobody can be asked.

    Raises KeystoreMissing, KeystoreDamaged, PassphraseNeeded, PassphraseUnfit, WrongPassphrase, or KeystoreError if
    the file cannot be read.
    """
    data, readable_by_others = _read(path)
    document = _parse(data, path)
    sealed = document["sealed"] is True
    retired, rotations = _retired(document, path)
    size_bytes = SEED_BYTES * (1 + len(retired))
    secret = _unseal(document, size_bytes, passphrase, path) if sealed else _decoded(document, "seed", size_bytes, path)
    keys, *old = (KeyPair(secret[at : at + SEED_BYTES]) for at in range(0, size_bytes, SEED_BYTES))
    if [document["did"], *(did for did, _ in retired)] != [did_key(pair.public) for pair in (keys, *old)]:
        raise KeystoreDamaged(f"{path} holds another key than that of the DID it names")
    kept = tuple(Retired(pair, papers) for pair, (_, papers) in zip(old, retired, strict=True))
    return Keystore(keys, did_key(keys.public), sealed, readable_by_others, kept, rotations)


def names_in(path: Path) -> tuple[Did, tuple[Did, ...]]:
    """The present DID and the retired ones that the file names, without opening it: a claim until it is opened.

    Raises KeystoreMissing, KeystoreDamaged or KeystoreError.
    """
    document = _parse(_read(path)[0], path)
    return Did(str(document["did"])), tuple(Did(did) for did, _ in _retired(document, path)[0])


def _retired(document: Mapping[str, object], path: Path) -> tuple[list[tuple[str, Mapping[str, str]]], int]:
    """DID and papers of each retired key, and how many rotations there have been."""
    if document["version"] == VERSION:
        return [], 0
    entries, rotations = document.get("retired"), document.get("rotations")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_RETIRED:
        raise KeystoreDamaged(f"{path} does not say which keys were retired")
    if not isinstance(rotations, int) or isinstance(rotations, bool) or not len(entries) <= rotations < 1 << 31:
        raise KeystoreDamaged(f"{path} does not say how often its key was replaced")
    found: list[tuple[str, Mapping[str, str]]] = []
    for entry in entries:
        did, papers = (entry.get("did"), entry.get("papers")) if isinstance(entry, dict) else (None, None)
        if not isinstance(did, str) or not isinstance(papers, dict):
            raise KeystoreDamaged(f"{path} does not say whose a retired key was")
        if not all(isinstance(text, str) for text in papers.values()):
            raise KeystoreDamaged(f"{path} holds papers that are no text")
        found.append((did, papers))
    return found, rotations


def _seal(header: Mapping[str, object], seed: bytes, passphrase: str, kdf: Kdf) -> dict[str, object]:
    salt = nacl.utils.random(SALT_BYTES)
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
    key = derive(checked(passphrase), salt, kdf)
    box = Aead(key).encrypt(seed, rfc8785.dumps(authenticated), nonce)
    return {**authenticated, "ciphertext": base64url(box.ciphertext)}


def _unseal(document: dict[str, object], size_bytes: int, passphrase: Callable[[], str | None], path: Path) -> bytes:
    kdf, cipher = document.get("kdf"), document.get("cipher")
    if not isinstance(kdf, dict) or not isinstance(cipher, dict):
        raise KeystoreDamaged(f"{path} does not say how it is sealed")
    if kdf.get("name") != "argon2id" or cipher.get("name") != "xchacha20-poly1305":
        raise KeystoreDamaged(f"{path} is sealed in a way that this version does not know")
    cost = allowed_kdf(kdf.get("opslimit"), kdf.get("memlimit_bytes"))
    if cost is None:
        raise KeystoreDamaged(f"{path} asks for a key derivation outside of what is allowed")
    salt = _decoded(kdf, "salt", SALT_BYTES, path)
    nonce = _decoded(cipher, "nonce", Aead.NONCE_SIZE, path)
    ciphertext = _decoded(document, "ciphertext", size_bytes + Aead.MACBYTES, path)
    authenticated = _jcs({key: value for key, value in document.items() if key != "ciphertext"}, path)
    given = passphrase()
    if given is None:
        raise PassphraseNeeded(f"{path} is sealed by a passphrase")
    try:
        return Aead(derive(normal(given), salt, cost)).decrypt(ciphertext, authenticated, nonce)
    except CryptoError:
        raise WrongPassphrase(f"the passphrase does not open {path}, or the file was changed") from None


def _jcs(document: dict[str, object], path: Path) -> bytes:
    try:
        return bytes(rfc8785.dumps(document))
    except (ValueError, RecursionError):
        raise KeystoreDamaged(f"{path} holds what no keystore holds") from None


def _parse(data: bytes, path: Path) -> dict[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise KeystoreDamaged(f"{path} is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KeystoreDamaged(f"{path} is not a keystore")
    if document.get("version") not in (VERSION, ROTATED_VERSION):
        raise KeystoreDamaged(f"{path} is a keystore of another version than {VERSION} and {ROTATED_VERSION}")
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


def _write(path: Path, data: bytes, put: Callable[[Path, Path], object]) -> None:
    """Put `data` at `path`, whole or not at all, whatever crashes: a complete temporary file is `put` in its place.

    Linking it there fails if the name is taken; renaming it replaces what was there.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # O_EXCL, mode 0600
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
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
