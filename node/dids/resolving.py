"""The node's resolver of DIDs: did:web through the bounded HTTP client, everything else without asking anybody."""

import time
from typing import Final

from identity.documents import MAX_DOCUMENT_BYTES
from identity.resolver import Resolver
from node.http.outside import Outside

FETCH_TIMEOUT_S: Final = 10.0
"""For a DID document, redirects included: a message may be waiting for it."""

_ACCEPT: Final = "application/did+json, application/did+ld+json;q=0.9, application/json;q=0.8, */*;q=0.1"


def make_resolver(outside: Outside) -> Resolver:
    """A resolver that fetches over `outside`."""

    async def fetch(url: str) -> bytes:
        return await outside.get(url, max_bytes=MAX_DOCUMENT_BYTES, timeout_s=FETCH_TIMEOUT_S, accept=_ACCEPT)

    return Resolver(fetch=fetch, now_s=time.monotonic)
