"""Keys of providers at rest: sealed with a key that follows from the twin's own.

XChaCha20-Poly1305; what the key is for (provider, wire format and address) is authenticated with it, so that nobody who
can write the database can have a key sent elsewhere. A key that was sealed before the twin's key was replaced opens
with the retired one.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import nacl.hash
import nacl.utils
import rfc8785
from nacl.encoding import RawEncoder
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from identity.keys import KeyPair
from node.inference.providers.errors import KeyUnreadable

_PURPOSE: Final = b"pagi-provider-1"  # BLAKE2b's personalisation: at most 16 bytes
MAX_KEY_CHARS: Final = 4096
"""Keys have some 50 to 200 characters; tokens that name their rights have up to 2,000."""


class Sealer:
    """Seals with the first key pair, and opens with any of them."""

    def __init__(self, keys: Sequence[KeyPair]) -> None:
        self._boxes = tuple(Aead(nacl.hash.blake2b(pair.seed, person=_PURPOSE, encoder=RawEncoder)) for pair in keys)

    def seal(self, key: str, *, name: str, kind: str, base_url: str) -> bytes:
        """The sealed form of a key: nonce and ciphertext."""
        nonce = nacl.utils.random(Aead.NONCE_SIZE)
        return bytes(self._boxes[0].encrypt(key.encode(), _bound(name, kind, base_url), nonce))

    def renewed(self, sealed: bytes, *, name: str, kind: str, base_url: str) -> bytes:
        """The same key sealed with the first key pair, if an older one sealed it. Raises KeyUnreadable."""
        try:
            self._boxes[0].decrypt(sealed, _bound(name, kind, base_url))
        except (CryptoError, ValueError):
            key = self.open(sealed, name=name, kind=kind, base_url=base_url)
            return self.seal(key, name=name, kind=kind, base_url=base_url)
        return sealed

    def open(self, sealed: bytes, *, name: str, kind: str, base_url: str) -> str:
        """The key itself. Raises KeyUnreadable."""
        for box in self._boxes:
            try:
                return box.decrypt(sealed, _bound(name, kind, base_url)).decode()
            except (CryptoError, ValueError):
                continue
        raise KeyUnreadable(f"the key of {name} cannot be opened with this twin's keys")


def origin(base_url: str) -> str:
    """Where requests to a URL go: scheme, host and port."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _bound(name: str, kind: str, base_url: str) -> bytes:
    return bytes(rfc8785.dumps({"name": name, "kind": kind, "origin": origin(base_url)}))
