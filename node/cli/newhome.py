"""Making a twin's home: the folder, the key, and the name if one was given."""

import os
from dataclasses import dataclass
from pathlib import Path

from identity import keystore
from identity.did import Did, PeerId, did_key, peer_id
from identity.errors import KeystoreExists
from identity.keys import SEED_BYTES, KeyPair
from node.cli.errors import BadInput
from storage.files import atomic_write
from storage.home import Home


@dataclass(frozen=True, slots=True)
class NewHome:
    """Who lives in the new home."""

    did: Did
    peer_id: PeerId
    home: Path


def refuse_existing(path: Path) -> None:
    """Raise KeystoreExists if a twin lives at `path`. To be called before anybody is asked for a passphrase."""
    if Home(path).exists:
        raise KeystoreExists(f"a twin lives in {path} already")


def make_home(path: Path, *, name: str | None, passphrase: str | None) -> NewHome:
    """Make a home with a new key; None as passphrase leaves the key unsealed.

    Raises KeystoreExists, HomeUnwritable, PassphraseUnfit or BadInput; what was there is not touched.
    """
    refuse_existing(path)
    if name is not None and (not name.isprintable() or not 1 <= len(name.strip()) <= 64):
        raise BadInput("--name: a name has 1 to 64 printable characters")
    home = Home(path)
    home.create()
    seed = os.urandom(SEED_BYTES)
    keystore.create(home.identity_json, seed, passphrase)
    if name is not None and not home.config_toml.exists():
        import tomli_w

        atomic_write(home.config_toml, tomli_w.dumps({"name": name.strip()}).encode(), 0o600)
    public = KeyPair(seed).public
    return NewHome(did_key(public), peer_id(public), path)
