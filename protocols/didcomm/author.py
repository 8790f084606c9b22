"""Whoever writes and reads messages here: a DID of ours with its secret keys."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from identity.curves import Curve
from identity.did import Did, did_key, did_of_url, resolve_did_key
from identity.keys import KeyPair


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """A secret key agreement key and its id in its owner's DID document. Its representation hides the secret.

    `secret` is 32 bytes for X25519; for the NIST curves the number as a JWK writes it, big-endian and full length.
    """

    kid: str
    secret: bytes = field(repr=False)
    curve: Curve = "X25519"

    @property
    def did(self) -> Did:
        """Whose key it is."""
        return did_of_url(self.kid)


@dataclass(frozen=True, slots=True)
class Author:
    """A DID of ours with its keys. `sign` makes Ed25519 signatures with the key that `signing_kid` names."""

    did: Did
    agreement: tuple[AgreementKey, ...]
    signing_kid: str
    sign: Callable[[bytes], bytes] = field(repr=False)


@lru_cache(maxsize=64)
def author_of(keys: KeyPair) -> Author:
    """The author behind the `did:key` of a key pair."""
    document = resolve_did_key(did_key(keys.public))
    (signing,), (agreement,) = document.authentication, document.key_agreement
    return Author(document.did, (AgreementKey(agreement.id, keys.agreement_secret),), signing.id, keys.sign)


def as_author(own: KeyPair | Author) -> Author:
    """`own` as an author."""
    return author_of(own) if isinstance(own, KeyPair) else own


def agreement_keys(own: Sequence[KeyPair | Author | AgreementKey]) -> Iterator[AgreementKey]:
    """Every key agreement key among what is ours."""
    for one in own:
        if isinstance(one, AgreementKey):
            yield one
        else:
            yield from as_author(one).agreement
