"""Finding the public key that a key id of somebody else's names."""

from collections.abc import Callable, Sequence

from identity.curves import Curve
from identity.did import Did, DidDocument, VerificationMethod, did_of_url
from identity.errors import NotResolvedYet, PagiError
from protocols.errors import UnresolvableKey

Resolve = Callable[[Did], DidDocument]
"""Finds the document of a DID. It raises PagiError if it cannot.

NotResolvedYet reaches the caller unchanged, who then resolves the DID and begins again.
"""


def document_of(kid: str, resolve: Resolve) -> DidDocument:
    """The document of the DID that a key id begins with. Raises UnresolvableKey or NotResolvedYet."""
    try:
        return resolve(did_of_url(kid))
    except NotResolvedYet:
        raise
    except PagiError as error:
        raise UnresolvableKey("the sender's DID does not resolve") from error


def public_key(kid: str, curve: Curve, methods: Sequence[VerificationMethod]) -> bytes:
    """The key that `kid` names among those of one purpose. Raises UnresolvableKey."""
    for method in methods:
        if method.id == kid and method.curve == curve:
            return method.public
    raise UnresolvableKey(f"the sender's DID document does not hold the key on {curve} for this purpose")
