"""Bitstring Status List 1.0: many credentials' states in one compressed string of bits, so that looking up one of them
tells the issuer nothing about which.

The first entry is the leftmost bit (section 3.2). The encoded form is multibase base64url of GZIP; unpacking stops at
its bound, however much is packed into it.
"""

import gzip
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V2
from identity.credentials.errors import MalformedCredential, StatusIndexOutOfRange, StatusListMalformed
from identity.credentials.values import as_list, mapping, text, time_text
from identity.did import Did
from identity.errors import MalformedMultibase
from identity.multibase import base64url, from_base64url

LIST_TYPE: Final = "BitstringStatusListCredential"
ENTRY_TYPE: Final = "BitstringStatusListEntry"

_INDEX_CHARS: Final = 9


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """Where a credential's state stands: `size` bits at `index` of the list that the URL names."""

    purpose: str
    index: int
    list_url: str
    size: int = 1
    messages: Mapping[int, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry of one bit that we put into credentials."""
        return {
            "id": f"{self.list_url}#{self.index}",
            "type": ENTRY_TYPE,
            "statusPurpose": self.purpose,
            "statusListIndex": str(self.index),
            "statusListCredential": self.list_url,
        }


def read_entry(entry: Mapping[str, Any]) -> StatusEntry:
    """Read one `credentialStatus`. Raises MalformedCredential."""
    if entry.get("type") != ENTRY_TYPE:
        raise MalformedCredential(f"a status of type {str(entry.get('type'))[:64]!r} is not understood")
    index, size = entry.get("statusListIndex"), entry.get("statusSize", 1)
    if not isinstance(index, str) or not index.isascii() or not index.isdigit() or len(index) > _INDEX_CHARS:
        raise MalformedCredential("'statusListIndex' is not a whole number as text")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= bounds.MAX_STATUS_SIZE:
        raise MalformedCredential(f"'statusSize' is not 1 to {bounds.MAX_STATUS_SIZE}")
    purpose = text(entry.get("statusPurpose"), "statusPurpose", bounds.MAX_LABEL_CHARS)
    return StatusEntry(
        purpose, int(index), text(entry.get("statusListCredential"), "statusListCredential"), size, _messages(entry)
    )


def encode(set_indexes: Iterable[int], *, length: int = bounds.MIN_STATUS_BITS) -> str:
    """The encoded list of `length` bits, of which these are set."""
    assert length >= bounds.MIN_STATUS_BITS
    assert length % 8 == 0
    bits = bytearray(length // 8)
    for index in set_indexes:
        bits[index // 8] |= 0x80 >> index % 8
    return "u" + base64url(gzip.compress(bytes(bits), compresslevel=6, mtime=0))


def decode(encoded: object) -> bytes:
    """The bits of an encoded list. Raises StatusListMalformed, before more than the bound is unpacked."""
    if not isinstance(encoded, str) or not encoded.startswith("u") or len(encoded) > bounds.MAX_CREDENTIAL_BYTES:
        raise StatusListMalformed("'encodedList' is not multibase base64url")
    try:
        packed = from_base64url(encoded[1:])
        reader = zlib.decompressobj(wbits=31)  # 31: the GZIP format alone
        bits = reader.decompress(packed, bounds.MAX_STATUS_BITS // 8 + 1)
    except (MalformedMultibase, zlib.error) as error:
        raise StatusListMalformed("'encodedList' is not GZIP in base64url") from error
    if len(bits) > bounds.MAX_STATUS_BITS // 8:
        raise StatusListMalformed(f"the list unpacks to more than {bounds.MAX_STATUS_BITS} bits")
    if not reader.eof or reader.unused_data:
        raise StatusListMalformed("the list is cut short, or something stands behind it")
    if len(bits) * 8 < bounds.MIN_STATUS_BITS:
        raise StatusListMalformed(f"the list has fewer than {bounds.MIN_STATUS_BITS} bits")
    return bits


def value_at(bits: bytes, index: int, size: int = 1) -> int:
    """The value of entry `index`, each of `size` bits. Raises StatusIndexOutOfRange."""
    first = index * size
    if index < 0 or first + size > len(bits) * 8:
        raise StatusIndexOutOfRange(f"the list has no entry {index}")
    whole = int.from_bytes(bits[first // 8 : (first + size + 7) // 8])
    return whole >> (-(first + size) % 8) & ((1 << size) - 1)


def build_list(
    *,
    issuer: Did,
    list_url: str,
    purpose: str,
    set_indexes: Iterable[int],
    now_s: float,
    valid_for_s: float,
    ttl_s: float,
) -> dict[str, Any]:
    """A status list credential without a proof. `ttl_s` is how long it may be kept before asking again."""
    return {
        "@context": [CREDENTIALS_V2],
        "id": list_url,
        "type": ["VerifiableCredential", LIST_TYPE],
        "issuer": issuer,
        "validFrom": time_text(now_s),
        "validUntil": time_text(now_s + valid_for_s),
        "credentialSubject": {
            "id": f"{list_url}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": encode(set_indexes),
            "ttl": int(ttl_s * 1000),
        },
    }


def read_list(document: Mapping[str, Any], purpose: str) -> bytes:
    """The bits of a status list credential for this purpose; whether it is signed is not looked at here.

    Raises StatusListMalformed.
    """
    subject = document.get("credentialSubject")
    if LIST_TYPE not in as_list(document.get("type")) or not isinstance(subject, dict):
        raise StatusListMalformed("not a status list credential")
    if purpose not in as_list(subject.get("statusPurpose")):
        raise StatusListMalformed(f"the list is not for the purpose {purpose[:64]!r}")
    return decode(subject.get("encodedList"))


def ttl_of(document: Mapping[str, Any]) -> float | None:
    """How many seconds a list may be kept, if it says so (section 2.2, in milliseconds there)."""
    subject = document.get("credentialSubject")
    ttl = subject.get("ttl") if isinstance(subject, dict) else None
    return ttl / 1000 if isinstance(ttl, int) and not isinstance(ttl, bool) and ttl >= 0 else None


def _messages(entry: Mapping[str, Any]) -> Mapping[int, str] | None:
    if "statusMessage" not in entry:
        return None
    most = 1 << bounds.MAX_STATUS_SIZE
    listed = as_list(entry["statusMessage"])
    if len(listed) > most:
        raise MalformedCredential(f"'statusMessage' has more than {most} entries")
    found: dict[int, str] = {}
    for item in listed:
        one = mapping(item, "statusMessage")
        try:
            status = int(text(one.get("status"), "statusMessage.status", 8), 16)
        except ValueError as error:
            raise MalformedCredential("'statusMessage.status' is not a hexadecimal number") from error
        found[status] = text(one.get("message"), "statusMessage.message", bounds.MAX_LABEL_CHARS)
    return found
