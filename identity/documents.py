"""Reading other agents' DID documents (DID Core 1.0; services as in DIDComm v2 and v2.1) into `DidDocument`.

What we cannot use is passed over: method types and curves that we do not speak, services of forms that we do not know.
What we could use and what is broken is refused with the whole document: a key off its curve, two keys of one name.

Only keys of the DID itself count. A method whose `controller` or id belongs to another DID proves that other DID
(DID Core, section 5.2.1), so whoever signs with it has not signed as this one, and it could read what is for this one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import base58
import orjson

from identity import curves
from identity.curves import Curve
from identity.did import (
    DIDCOMM_SERVICE,
    MAX_DID_CHARS,
    Did,
    DidDocument,
    Endpoint,
    Service,
    VerificationMethod,
    did_of_url,
)
from identity.errors import MalformedDid, MalformedDocument, UnknownKeyType, UnsupportedKey

MAX_DOCUMENT_BYTES: Final = 64 * 1024
"""A document as JSON. One with every method and service that we take, all at their longest, is no document in use."""

MAX_METHODS: Final = 64
"""Keys of one document, embedded ones among them, and references in one list: each key costs a check of its curve."""

MAX_SERVICES: Final = 32
MAX_ENDPOINTS: Final = 16
"""Places of one service: each is one more that a message would be tried at."""

MAX_ROUTING_KEYS: Final = 8
"""Mediators in a row: each is one more envelope around a message."""

MAX_ACCEPTS: Final = 16
MAX_ACCEPT_CHARS: Final = 128
MAX_TYPE_CHARS: Final = 128
MAX_URL_CHARS: Final = MAX_DID_CHARS + 152
"""A DID URL: the longest DID, '#' and a fragment."""

_CURVE_OF: Final[Mapping[str, Curve | None]] = {
    "Multikey": None,
    "JsonWebKey": None,
    "JsonWebKey2020": None,
    "Ed25519VerificationKey2018": "Ed25519",
    "Ed25519VerificationKey2020": "Ed25519",
    "X25519KeyAgreementKey2019": "X25519",
    "X25519KeyAgreementKey2020": "X25519",
    "EcdsaSecp256k1VerificationKey2019": "secp256k1",
    "EcdsaSecp256r1VerificationKey2019": "P-256",
}
"""Method types that we read; those of one curve name it."""

_UNPREFIXED: Final = frozenset({"Ed25519VerificationKey2018", "X25519KeyAgreementKey2019"})
"""Types older than Multikey: their `publicKeyMultibase`, where one has it, is often the bare key."""

_RELATIONS: Final = ("authentication", "keyAgreement", "assertionMethod")
_URL_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of one document by their ids; None is one that is there and that we do not use."""

    did: Did
    known: dict[str, VerificationMethod | None]

    def add(self, value: object) -> str:
        """Read one method; gives its absolute id."""
        method = _object(value, "a verification method")
        key_id = _absolute(method.get("id"), self.did, "a verification method's `id`")
        read = _usable(method, key_id, self.did)
        if self.known.setdefault(key_id, read) != read:
            raise MalformedDocument(f"two verification methods have the id {key_id[-120:]!r}")
        if len(self.known) > MAX_METHODS:
            raise MalformedDocument(f"more than {MAX_METHODS} verification methods")
        return key_id


def read_document(value: object, *, did: Did) -> DidDocument:
    """The document of `did` from its JSON, which the caller has bounded. Raises MalformedDocument."""
    document = _object(value, "a DID document")
    if document.get("id") != did:
        raise MalformedDocument(f"the document is not that of {did[:160]!r}")
    keys = _Keys(did, {})
    for method in _list(document, "verificationMethod", MAX_METHODS):
        keys.add(method)
    named = {relation: tuple(_related(document, relation, keys)) for relation in _RELATIONS}
    return DidDocument(
        did,
        authentication=_signing(named["authentication"]),
        key_agreement=tuple(key for key in named["keyAgreement"] if key.curve != "Ed25519"),
        assertion=_signing(named["assertionMethod"]),
        services=tuple(_services(document, did)),
    )


def parse_document(data: bytes, *, did: Did) -> DidDocument:
    """The same from bytes of at most MAX_DOCUMENT_BYTES. Raises MalformedDocument."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument(f"a DID document of {len(data)} bytes; {MAX_DOCUMENT_BYTES} are allowed")
    try:
        value = orjson.loads(data)  # refuses more than 1,024 levels, and nothing here follows them down
    except orjson.JSONDecodeError as error:
        raise MalformedDocument("a DID document that is not JSON") from error
    return read_document(value, did=did)


def _related(document: Mapping[str, object], relation: str, keys: _Keys) -> Iterator[VerificationMethod]:
    """The keys of one verification relationship. A reference to a key that we do not have names none that we use."""
    seen: set[str] = set()
    for entry in _list(document, relation, MAX_METHODS):
        key_id = _absolute(entry, keys.did, relation) if isinstance(entry, str) else keys.add(entry)
        method = keys.known.get(key_id)
        if method is not None and key_id not in seen:
            seen.add(key_id)
            yield method


def _signing(methods: tuple[VerificationMethod, ...]) -> tuple[VerificationMethod, ...]:
    return tuple(method for method in methods if method.curve != "X25519")


def _usable(method: Mapping[str, object], key_id: str, did: Did) -> VerificationMethod | None:
    """The key of a method, or None if it is another DID's or of a type that we do not speak."""
    kind = method.get("type")
    if not isinstance(kind, str):
        raise MalformedDocument("a verification method without `type`")
    if method.get("controller", did) != did or key_id.partition("#")[0] != did or kind not in _CURVE_OF:
        return None
    try:
        curve, public = _key_of(method, kind)
    except UnknownKeyType:
        return None
    except UnsupportedKey as error:
        raise MalformedDocument(f"the key {key_id[-120:]!r}: {error}") from error
    expected = _CURVE_OF[kind]
    if expected not in (None, curve):
        raise MalformedDocument(f"the key {key_id[-120:]!r} is a {kind} and on {curve}")
    return VerificationMethod(key_id, curve, public)


def _key_of(method: Mapping[str, object], kind: str) -> tuple[Curve, bytes]:
    """The key in whichever of the four forms it stands. Raises UnsupportedKey."""
    if "publicKeyJwk" in method:
        return curves.from_jwk(method["publicKeyJwk"])
    curve = _CURVE_OF[kind]
    for member in ("publicKeyMultibase", "publicKeyBase58", "publicKeyHex"):
        text = method.get(member)
        if isinstance(text, str):
            break
    else:
        raise UnsupportedKey("no key in a form that we know")
    if member != "publicKeyMultibase":
        if curve is None:
            raise UnsupportedKey(f"a {kind} has no `{member}`")
        return curve, curves.check_key(curve, _bare(text, member))
    if (
        curve is not None
        and kind in _UNPREFIXED
        and text.startswith("z")
        and len(bare := _bare(text[1:], member)) == 32
    ):
        return curve, curves.check_key(curve, bare)
    return curves.from_multikey(text)


def _bare(text: str, member: str) -> bytes:
    if len(text) > 2 * curves.MAX_MULTIKEY_CHARS:
        raise UnsupportedKey(f"`{member}` has {len(text)} characters")
    try:
        return bytes.fromhex(text) if member == "publicKeyHex" else base58.b58decode(text)
    except ValueError as error:
        raise UnsupportedKey(f"`{member}` is not what its name says") from error


def _services(document: Mapping[str, object], did: Did) -> Iterator[Service]:
    """The services of which at least one endpoint is of a form that we know."""
    for entry in _list(document, "service", MAX_SERVICES):
        service = _object(entry, "a service")
        kind = _service_type(service.get("type"))
        name = _absolute(service.get("id"), did, "a service's `id`")
        endpoints = tuple(_endpoints(service))
        if kind is not None and endpoints:
            yield Service(name, kind, endpoints)


def _service_type(value: object) -> str | None:
    """DID Core, section 5.4: one type or a set of them."""
    kinds = [kind for kind in (value if isinstance(value, list) else [value])[:MAX_SERVICES] if isinstance(kind, str)]
    if DIDCOMM_SERVICE in kinds:
        return DIDCOMM_SERVICE
    return kinds[0] if kinds and len(kinds[0]) <= MAX_TYPE_CHARS else None


def _endpoints(service: Mapping[str, object]) -> Iterator[Endpoint]:
    """A text, an object or an array of either. `accept` and `routingKeys` beside a text are older than DIDComm v2.0."""
    value = service.get("serviceEndpoint")
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_ENDPOINTS:
        raise MalformedDocument(f"more than {MAX_ENDPOINTS} endpoints of one service")
    for entry in entries:
        if isinstance(entry, str):
            endpoint = _endpoint(entry, service)
        elif isinstance(entry, Mapping):
            endpoint = _endpoint(entry.get("uri"), entry)
        else:
            endpoint = None
        if endpoint is not None:
            yield endpoint


def _endpoint(uri: object, source: Mapping[str, object]) -> Endpoint | None:
    """None for what a message cannot be sent to. Never is a mediator left out because its key cannot be read."""
    accept, keys = source.get("accept") or [], source.get("routingKeys") or []
    if not isinstance(accept, list) or not isinstance(keys, list):
        return None
    if len(accept) > MAX_ACCEPTS or len(keys) > MAX_ROUTING_KEYS:
        raise MalformedDocument("an endpoint with too many `accept` or `routingKeys`")
    if not isinstance(uri, str) or not is_endpoint(uri):
        return None
    if not all(isinstance(key, str) and _is_did_url(key) for key in keys):
        return None
    media = tuple(entry for entry in accept if isinstance(entry, str) and len(entry) <= MAX_ACCEPT_CHARS)
    return Endpoint(uri, media, tuple(keys))


def is_endpoint(uri: str) -> bool:
    """Whether this is an address of a kind that we can send to: an http(s) or ws(s) URL, a DID, or a multiaddr."""
    if len(uri) > MAX_URL_CHARS or not _PRINTABLE.match(uri):
        return False
    if uri.startswith("did:"):
        return _is_did_url(uri)
    if uri.startswith("/"):
        return uri.startswith(("/ip4/", "/ip6/", "/dns4/", "/dns6/", "/dns/", "/dnsaddr/"))
    try:
        parts = urlsplit(uri)
        return parts.scheme in _URL_SCHEMES and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False


def _is_did_url(text: str) -> bool:
    if len(text) > MAX_URL_CHARS or not _PRINTABLE.match(text):
        return False
    try:
        did_of_url(text)
    except MalformedDid:
        return False
    return True


def _absolute(value: object, did: Did, what: str) -> str:
    """An id as an absolute DID URL (DID Core, section 3.2.2)."""
    if not isinstance(value, str) or not value or len(value) > MAX_URL_CHARS:
        raise MalformedDocument(f"{what} is not a DID URL")
    return did + value if value.startswith("#") else value


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise MalformedDocument(f"{what} is not a JSON object")
    return value


def _list(document: Mapping[str, object], name: str, most: int) -> Sequence[object]:
    value = document.get(name, [])
    if not isinstance(value, list):
        raise MalformedDocument(f"`{name}` is not an array")
    if len(value) > most:
        raise MalformedDocument(f"`{name}` has {len(value)} entries; {most} are allowed")
    return cast(Sequence[object], value)
