"""did:peer 2 and 4 (Peer DID method specification): DIDs that carry their whole document, for a relationship or a few.

did:peer:2 lists keys and services in its text. did:peer:4 is the hash of an encoded document and, in its long form,
that document: whoever saw the long form once can be sent the short one.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import orjson

from identity import multibase
from identity.curves import MAX_MULTIKEY_CHARS, Curve, to_multikey
from identity.did import DIDCOMM_SERVICE, MAX_DID_CHARS, Did, DidDocument, Service, parse_did
from identity.documents import read_document
from identity.errors import MalformedDid, MalformedMultibase, NotResolvedYet, UnknownDidMethod

_PEER_2: Final = re.compile(r"did:peer:2(?:\.(?:[AEVID]z[1-9A-HJ-NP-Za-km-z]+|S[A-Za-z0-9_-]+))+\Z")
_PEER_4: Final = re.compile(r"(did:peer:4(zQm[1-9A-HJ-NP-Za-km-z]{44}))(?::(z[1-9A-HJ-NP-Za-km-z]{6,}))?\Z")

_RELATION_OF: Final = {
    "A": "assertionMethod",
    "D": "capabilityDelegation",
    "E": "keyAgreement",
    "I": "capabilityInvocation",
    "V": "authentication",
}
_SHORT: Final = {"type": "t", "serviceEndpoint": "s", "routingKeys": "r", "accept": "a"}
_LONG: Final = {short: name for name, short in _SHORT.items()}
_SHORT_DIDCOMM: Final = "dm"
_MAX_ABBREVIATED_DEPTH: Final = 8
"""Nesting of a service in a did:peer:2. A service, its endpoints, one of them and its lists are 4."""

_JSON: Final = multibase.encode_varint(0x0200)
_SHA2_256: Final = b"\x12\x20"


@lru_cache(maxsize=1024)
def resolve_did_peer(did: Did) -> DidDocument:
    """The document that a did:peer:2 or the long form of a did:peer:4 carries.

    Raises MalformedDid, MalformedDocument, UnknownDidMethod for other kinds of did:peer, and NotResolvedYet for a short
    form: `resolve_short` has its document once the long form is known.
    """
    if _PEER_2.match(did):
        return read_document(dict(_peer_2_members(did)), did=did)
    if _PEER_4.match(did):
        if short_form(did) == did:
            raise NotResolvedYet(did)
        return read_document(_input_document(did, did), did=did)
    if did.startswith(("did:peer:2", "did:peer:4")):
        raise MalformedDid(f"not a did:peer: {did[:80]!r}")
    raise UnknownDidMethod(f"of did:peer only the kinds 2 and 4 are resolved: {did[:80]!r}")


def is_long_form(did: Did) -> bool:
    """Whether this is a did:peer:4 that carries its document."""
    found = _PEER_4.match(did)
    return found is not None and found[3] is not None


def short_form(did: Did) -> Did:
    """The short form of a did:peer:4 in either form. Raises MalformedDid."""
    found = _PEER_4.match(did)
    if found is None:
        raise MalformedDid(f"not a did:peer:4: {did[:80]!r}")
    return Did(found[1])


@lru_cache(maxsize=1024)
def resolve_short(long_form: Did) -> DidDocument:
    """The document under the short form's name. Raises MalformedDid or MalformedDocument."""
    short = short_form(long_form)
    return read_document(_input_document(long_form, short), did=short)


def make_did_peer_2(signing_public: bytes, agreement_public: bytes, services: Sequence[Service]) -> Did:
    """A did:peer:2 of an Ed25519 key `#key-1`, an X25519 key `#key-2`, and services, whose ids it gives anew.

    Raises MalformedDid if the services make it longer than a DID may be.
    """
    keys = _key_element("V", "Ed25519", signing_public) + _key_element("E", "X25519", agreement_public)
    return parse_did("did:peer:2" + keys + "".join(map(_service_element, services)))


def make_did_peer_4(document: Mapping[str, object]) -> Did:
    """The long form of a did:peer:4. Its input document has no `id`, and all ids in it are relative.

    Raises MalformedDid if that makes it longer than a DID may be.
    """
    encoded = multibase.encode("z", _JSON + orjson.dumps(document))
    return parse_did(f"did:peer:4{_hash_of(encoded)}:{encoded}")


def _key_element(purpose: str, curve: Curve, public: bytes) -> str:
    return f".{purpose}{to_multikey(curve, public)}"


def _service_element(service: Service) -> str:
    document = {name: value for name, value in service.to_json().items() if name != "id"}
    if service.type == DIDCOMM_SERVICE:
        document["type"] = _SHORT_DIDCOMM
    return ".S" + multibase.base64url(orjson.dumps(_renamed(document, _SHORT, _MAX_ABBREVIATED_DEPTH)))


def _peer_2_members(did: Did) -> Iterator[tuple[str, object]]:
    """The document's members. Keys are numbered by their place among the keys, services that have no id among those."""
    methods: list[object] = []
    services: list[dict[str, object]] = []
    related: dict[str, list[object]] = {}
    for element in did.split(".")[1:]:
        purpose, text = element[0], element[1:]
        if purpose == "S":
            services += _decoded_services(text)
            continue
        if len(text) > MAX_MULTIKEY_CHARS:
            raise MalformedDid("a did:peer:2 with a key that is too long")
        name = f"#key-{len(methods) + 1}"
        methods.append({"id": name, "type": "Multikey", "controller": did, "publicKeyMultibase": text})
        related.setdefault(_RELATION_OF[purpose], []).append(name)
    nameless = [service for service in services if "id" not in service]
    for index, service in enumerate(nameless):
        service["id"] = f"#service-{index}" if index else "#service"
    yield from {"id": did, "verificationMethod": methods, "service": services, **related}.items()


def _decoded_services(text: str) -> list[dict[str, object]]:
    """The service of one element. The method's first version wrote several as one array."""
    try:
        value = orjson.loads(multibase.from_base64url(text))
    except (MalformedMultibase, orjson.JSONDecodeError) as error:
        raise MalformedDid("a did:peer:2 whose service is not base64url of JSON") from error
    services = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, dict):
            raise MalformedDid("a did:peer:2 whose service is not a JSON object")
        service = _renamed(entry, _LONG, _MAX_ABBREVIATED_DEPTH)
        assert isinstance(service, dict)
        if service.get("type") == _SHORT_DIDCOMM:
            service["type"] = DIDCOMM_SERVICE
        services.append(service)
    return services


def _renamed(value: object, names: Mapping[str, str], depth: int) -> object:
    """The value with the members of all its objects renamed. Raises MalformedDid if it is nested too deeply."""
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise MalformedDid(f"a did:peer:2 whose service is nested deeper than {_MAX_ABBREVIATED_DEPTH}")
    if isinstance(value, list):
        return [_renamed(entry, names, depth - 1) for entry in value]
    return {names.get(name, name): _renamed(entry, names, depth - 1) for name, entry in value.items()}


def _input_document(long_form: Did, name: Did) -> dict[str, object]:
    """The document inside a long form, put under `name`. Raises MalformedDid."""
    found = _PEER_4.match(long_form)
    if len(long_form) > MAX_DID_CHARS or found is None or found[3] is None:
        raise MalformedDid(f"not the long form of a did:peer:4: {long_form[:80]!r}")
    digest, encoded = found[2], found[3]
    if _hash_of(encoded) != digest:
        raise MalformedDid("a did:peer:4 whose hash is not that of its document")
    data = multibase.decode(encoded)
    try:
        document = orjson.loads(data.removeprefix(_JSON)) if data.startswith(_JSON) else None
    except orjson.JSONDecodeError as error:
        raise MalformedDid("a did:peer:4 whose document is not JSON") from error
    if not isinstance(document, dict) or "id" in document:
        raise MalformedDid("a did:peer:4 whose document is no JSON object, or has an `id` already")
    return {**document, "id": name}


def _hash_of(encoded: str) -> str:
    return multibase.encode("z", _SHA2_256 + hashlib.sha256(encoded.encode()).digest())
