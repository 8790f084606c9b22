"""Reading JOSE objects (RFC 7515, RFC 7516) that come from outside: names, types, sizes and headers, strictly.

Everything here raises RemoteProtocolError's children and nothing else.
"""

import json
from collections.abc import Collection, Mapping
from typing import Final

import orjson

from identity.errors import MalformedMultibase
from identity.multibase import from_base64url
from protocols.errors import MalformedMessage, TooLarge, UnsupportedAlgorithm
from protocols.jsonguard import parse_json
from protocols.limits import MAX_HEADER_BYTES, MAX_JSON_DEPTH, MAX_KID_CHARS

Json = Mapping[str, object]

_CHANGES_MEANING: Final = ("crit", "zip", "b64")
"""Headers that make a JWS or JWE mean something else than it does without them. DIDComm uses none of them."""


def as_object(value: object, what: str) -> Json:
    """`value` if it is a JSON object."""
    if not isinstance(value, dict):
        raise MalformedMessage(f"{what} is not an object")
    return value


def text(holder: Json, name: str) -> str:
    """The text under `name`."""
    value = holder.get(name)
    if not isinstance(value, str):
        raise MalformedMessage(f"`{name}` is not text")
    return value


def key_id(holder: Json, name: str = "kid") -> str:
    """The key id under `name`, of bounded length."""
    kid = text(holder, name)
    if not 0 < len(kid) <= MAX_KID_CHARS:
        raise MalformedMessage(f"`{name}` is not a key id")
    return kid


def binary(holder: Json, name: str, size: int | None = None) -> bytes:
    """The bytes under `name`, which stand there as base64url, exactly `size` of them if that is given."""
    try:
        data = from_base64url(text(holder, name))
    except MalformedMultibase as error:
        raise MalformedMessage(f"`{name}` is not base64url") from error
    if size is not None and len(data) != size:
        raise MalformedMessage(f"`{name}` has {len(data)} bytes instead of {size}")
    return data


def protected_header(holder: Json, *, typs: Collection[object]) -> Json:
    """The header that is authenticated, from the base64url under `protected`.

    Refuses a name that stands twice (RFC 7515, section 4), headers that change the meaning of the whole, and a `typ`
    that is none of `typs`; a missing `typ` passes, and one without `/` is read as `application/…`.
    """
    if len(text(holder, "protected")) > MAX_HEADER_BYTES * 4 // 3:
        raise TooLarge(f"a header of more than {MAX_HEADER_BYTES} bytes")
    data = binary(holder, "protected")
    header = as_object(parse_json(data, max_bytes=MAX_HEADER_BYTES, max_depth=MAX_JSON_DEPTH), "`protected`")
    # Compact JSON that comes out as it went in has no name twice; only other forms need the slower parser.
    if orjson.dumps(header) != data:
        _refuse_repeated_names(data)
    for name in _CHANGES_MEANING:
        if name in header:
            raise UnsupportedAlgorithm(f"the header `{name}` is not used in DIDComm")
    typ = header.get("typ")
    if typ is not None and typ not in typs and f"application/{typ}" not in typs:
        raise MalformedMessage("`typ` is not that of this envelope")
    return header


def disjoint(*headers: Json) -> set[str]:
    """The names in all headers. Refuses one that stands in two of them: which one counts would be anybody's guess
    (RFC 7515, section 7.2.1).
    """
    names: set[str] = set()
    for header in headers:
        if not names.isdisjoint(header):
            raise MalformedMessage("a header stands twice")
        names.update(header)
    return names


def _refuse_repeated_names(data: bytes) -> None:
    def build(pairs: list[tuple[str, object]]) -> dict[str, object]:
        built = dict(pairs)
        if len(built) != len(pairs):
            raise MalformedMessage("a header stands twice")
        return built

    try:
        json.loads(data, object_pairs_hook=build)
    except ValueError as error:  # a number of more digits than Python converts
        raise MalformedMessage("not JSON") from error
