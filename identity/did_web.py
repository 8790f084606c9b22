"""did:web: a DID whose document lies at a URL that follows from it (did:web method specification).

As trustworthy as the host's TLS certificate: whoever holds the domain is the DID. Fetching is not done here.
"""

import re
from typing import Final
from urllib.parse import unquote

from identity.did import Did, DidDocument
from identity.documents import parse_document
from identity.errors import MalformedDid

_PREFIX: Final = "did:web:"
_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z"
)
"""A domain name. Its last label begins with a letter, so that no form of an IP address is one: did:web forbids them."""

_PORT: Final = re.compile(r"[1-9][0-9]{0,4}\Z")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1"})
"""Hosts without a certificate, for trials on one machine. Whether they may be connected to, the HTTP client decides."""


def url_of(did: Did) -> str:
    """Where the document lies: `https://host[:port]/.well-known/did.json`, or `/a/b/did.json` for `did:web:host:a:b`.

    Raises MalformedDid.
    """
    if not did.startswith(_PREFIX):
        raise MalformedDid(f"not a did:web: {did[:80]!r}")
    place, *path = did.removeprefix(_PREFIX).split(":")
    host, percent, port = place.partition("%3A") if "%3A" in place else place.partition("%3a")
    if host.lower() not in _LOOPBACK and not _HOST.match(host):
        raise MalformedDid(f"a did:web without a domain name: {did[:160]!r}")
    if percent and (not _PORT.match(port) or int(port) > 65535):
        raise MalformedDid(f"a did:web with a port that is none: {did[:160]!r}")
    for segment in path:
        _check_segment(segment, did)
    scheme = "http" if host.lower() in _LOOPBACK else "https"
    base = f"{scheme}://{host.lower()}" + (f":{port}" if percent else "")
    return "/".join([base, *(path or [".well-known"]), "did.json"])


def read_did_web(did: Did, data: bytes) -> DidDocument:
    """The document that lay at the URL. Raises MalformedDocument."""
    return parse_document(data, did=did)


def _check_segment(segment: str, did: Did) -> None:
    """A part of the path stays one part, whatever a server makes of percent signs and dots."""
    plain = unquote(segment)
    if not plain or plain in (".", "..") or any(mark in plain for mark in "/\\?#%") or not plain.isprintable():
        raise MalformedDid(f"a did:web with a path that is none: {did[:160]!r}")
