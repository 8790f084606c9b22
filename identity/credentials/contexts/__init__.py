"""The JSON-LD contexts that are known here, as bytes that never change: nothing is fetched, whatever a document names.

Those of the W3C are byte for byte as published (docs/decisions/credentials.md has their sources and hashes).
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

CREDENTIALS_V2: Final = "https://www.w3.org/ns/credentials/v2"
CREDENTIALS_V1: Final = "https://www.w3.org/2018/credentials/v1"
UNDEFINED_TERMS_V2: Final = "https://www.w3.org/ns/credentials/undefined-terms/v2"
DATA_INTEGRITY_V2: Final = "https://w3id.org/security/data-integrity/v2"
MULTIKEY_V1: Final = "https://w3id.org/security/multikey/v1"
DID_V1: Final = "https://www.w3.org/ns/did/v1"
PAGI_V1: Final = "https://pagi.ai/ns/credentials/v1"

FILES: Final[Mapping[str, str]] = {
    CREDENTIALS_V2: "credentials-v2.jsonld",
    CREDENTIALS_V1: "credentials-v1.jsonld",
    UNDEFINED_TERMS_V2: "undefined-terms-v2.jsonld",
    DATA_INTEGRITY_V2: "data-integrity-v2.jsonld",
    MULTIKEY_V1: "multikey-v1.jsonld",
    DID_V1: "did-v1.jsonld",
    PAGI_V1: "pagi-credentials-v1.jsonld",
}
"""Each context's file in this folder."""


def context_bytes(url: str) -> bytes:
    """A context's file. Raises KeyError for a URL that is not known here."""
    return resources.files(__package__).joinpath(FILES[url]).read_bytes()


@cache
def known_contexts() -> Mapping[str, Mapping[str, Any]]:
    """All of them, parsed."""
    return {url: orjson.loads(context_bytes(url)) for url in FILES}
