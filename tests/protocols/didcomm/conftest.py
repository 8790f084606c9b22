"""Twins for the envelope tests, and ways to bend an envelope."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from identity.did import DidDocument, did_key, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import base64url, from_base64url

Change = Callable[[dict[str, Any]], object]


class Twin:
    """A key pair with its names."""

    def __init__(self, seed: int) -> None:
        self.keys = KeyPair(bytes((seed,)) * 32)
        self.did = did_key(self.keys.public)
        self.document: DidDocument = resolve_did_key(self.did)
        self.kid = self.document.key_agreement[0].id
        self.signs_as = self.document.authentication[0].id


@pytest.fixture(scope="session")
def alice() -> Twin:
    return Twin(1)


@pytest.fixture(scope="session")
def bob() -> Twin:
    return Twin(2)


@pytest.fixture(scope="session")
def mallory() -> Twin:
    return Twin(3)


@pytest.fixture(scope="session")
def bend() -> Callable[[bytes, Change], bytes]:
    """Change an envelope's JSON."""

    def apply(packed: bytes, change: Change) -> bytes:
        envelope = json.loads(packed)
        change(envelope)
        return json.dumps(envelope).encode()

    return apply


@pytest.fixture(scope="session")
def bend_header(bend: Callable[[bytes, Change], bytes]) -> Callable[[bytes, Change], bytes]:
    """Change the protected header of an envelope (of a JWE's own, or of a JWS's first signature)."""

    def apply(packed: bytes, change: Change) -> bytes:
        def protect(envelope: dict[str, Any]) -> None:
            holder = envelope["signatures"][0] if "signatures" in envelope else envelope
            header = json.loads(from_base64url(holder["protected"]))
            change(header)
            holder["protected"] = base64url(json.dumps(header).encode())

        return bend(packed, protect)

    return apply
