"""Links of signed playbook blocks, read strictly: the codec that the place asks for, each at most once."""

from collections.abc import Mapping

from identity.cid import Cid
from identity.errors import MalformedCid
from protocols import fields
from protocols.errors import MalformedMessage


def link(value: object, name: str, codec: int | None = None) -> Cid:
    """A link as dag-cbor gives it. Raises MalformedMessage."""
    if not isinstance(value, bytes):
        raise MalformedMessage(f"{name!r} holds something other than links")
    try:
        cid = Cid.from_bytes(value)
    except MalformedCid as error:
        raise MalformedMessage(f"{name!r} holds a link that is not a CIDv1 with sha2-256") from error
    if codec is not None and cid.codec != codec:
        raise MalformedMessage(f"{name!r} links to a block of another codec")
    return cid


def links(value: object, name: str, codec: int, max_items: int) -> tuple[Cid, ...]:
    """A list of links of one codec, in order. Raises MalformedMessage."""
    found = tuple(link(item, name, codec) for item in fields.sequence(value, name, max_items))
    if list(found) != sorted(set(found)):
        raise MalformedMessage(f"{name!r} is not in order, or names something twice")
    return found


def members(value: object, name: str, keys: frozenset[str]) -> Mapping[str, object]:
    """A map with exactly these members, of version 1. Raises MalformedMessage."""
    body = fields.mapping(value, name)
    if body.keys() != keys or body["v"] != 1 or isinstance(body["v"], bool | float):
        raise MalformedMessage(f"not a {name} of version 1")
    return body
