"""Agents with keys, as ours and the peers are told of them: a DID document and the secrets behind it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from identity.curves import Curve
from identity.did import Did, DidDocument, VerificationMethod, did_key, resolve_did_key
from identity.keys import KeyPair
from protocols.didcomm.agreement import public_of
from protocols.didcomm.author import AgreementKey, Author, author_of

_SECRET_BYTES = {"P-384": 48, "P-521": 66}


@dataclass(frozen=True, slots=True)
class Agent:
    """One who writes and reads. `secrets` are the raw private keys by key id."""

    author: Author
    document: DidDocument
    secrets: dict[str, bytes] = field(repr=False)

    @property
    def did(self) -> Did:
        return self.document.did

    def pairs(self) -> Iterator[tuple[VerificationMethod, bytes]]:
        """Each key once, with its secret."""
        for method in (*self.document.authentication, *self.document.key_agreement):
            yield method, self.secrets[method.id]


def twin() -> Agent:
    """An agent as a twin is one: a did:key, which stands for one key to sign and one to agree on keys."""
    keys = KeyPair(os.urandom(32))
    document = resolve_did_key(did_key(keys.public))
    (signing,), (agreement,) = document.authentication, document.key_agreement
    return Agent(author_of(keys), document, {signing.id: keys.seed, agreement.id: keys.agreement_secret})


def agent(name: str, curve: Curve, count: int) -> Agent:
    """An agent with `count` keys on `curve` to agree on keys with, as another program than a twin may be."""
    did = Did(f"did:example:{name}")
    keys = KeyPair(os.urandom(32))
    signing = VerificationMethod(f"{did}#sign", "Ed25519", keys.public)
    # With its first bits zero any number is within the order of its curve.
    secrets = [b"\x00" + os.urandom(_SECRET_BYTES.get(curve, 32) - 1) for _ in range(count)]
    ours = tuple(AgreementKey(f"{did}#{n}", secret, curve) for n, secret in enumerate(secrets))
    methods = tuple(VerificationMethod(key.kid, curve, public_of(curve, key.secret)) for key in ours)
    return Agent(
        Author(did, ours, signing.id, keys.sign),
        DidDocument(did, (signing,), methods),
        {signing.id: keys.seed, **{key.kid: key.secret for key in ours}},
    )
