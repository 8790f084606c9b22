"""What a request to the trustless gateway asks for (https://specs.ipfs.tech/http-gateways/trustless-gateway/).

Only forms that their receiver can verify are served: a block, a CAR file, an IPNS record. Nothing is looked up here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import unquote_to_bytes

from identity.cid import Cid
from identity.errors import MalformedCid
from protocols import limits
from protocols.ipld.errors import UnusablePath
from protocols.unixfs.names import split_names

Format = Literal["raw", "car", "ipns-record"]
Scope = Literal["block", "entity", "all"]

MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "raw": "application/vnd.ipld.raw",
    "car": "application/vnd.ipld.car",
    "ipns-record": "application/vnd.ipfs.ipns-record",
}

PROBE: Final = "bafkqaaa"
"""The empty identity CID, by which clients find out whether this is a gateway."""

_FORMATS: Final[Mapping[str, Format]] = {media_type: name for name, media_type in MEDIA_TYPES.items()}

_ELSEWHERE: Final = frozenset({"tar", "dag-json", "dag-cbor", "json", "cbor"})
"""Formats that other gateways know: asking for one of them is not an error."""

_CAR: Final[Mapping[str, frozenset[str]]] = {
    "version": frozenset({"1"}),
    "order": frozenset({"dfs", "unk"}),
    "dups": frozenset({"y", "n"}),
}
"""What a CAR file can be asked to be. It is in the order `dfs` always."""

_RANGE: Final = re.compile(r"(-?[0-9]{1,18}):(-?[0-9]{1,18}|\*)", re.ASCII)
_IPNS_NAME: Final = re.compile(r"[A-Za-z0-9]{1,128}", re.ASCII)
_WEIGHT: Final = re.compile(r"[01](\.[0-9]{0,3})?", re.ASCII)


class Refusal(Exception):
    """The request is answered with this status, and with what its sender can do."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class EntityBytes:
    """A range of a file: its first and its last byte, counted from the end if negative; `last` None is the end."""

    first: int
    last: int | None

    def within(self, size_bytes: int) -> tuple[int, int]:
        """The range of a file as (start, stop): empty if nothing of it is in the file."""
        start = self.first if self.first >= 0 else max(size_bytes + self.first, 0)
        if self.last is None:
            return start, max(start, size_bytes)
        stop = self.last + 1 if self.last >= 0 else size_bytes + self.last + 1
        return start, max(start, min(stop, size_bytes))


@dataclass(frozen=True, slots=True)
class Asked:
    """The form of an answer. `negotiated` says that only the Accept header names it, not the URL."""

    format: Format
    dups: bool
    negotiated: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. `root` is None for the probe."""

    root: Cid | None
    names: tuple[str, ...]
    asked: Asked
    scope: Scope
    entity_bytes: EntityBytes | None


def read_query(raw_path: str, params: Mapping[str, str], accept: str | None) -> Query:
    """Read a request for `/ipfs/…`; `raw_path` is as it came, without the query. Raises Refusal."""
    root, names = _read_path(raw_path.removeprefix("/ipfs/"))
    asked = negotiate(params, accept)
    if asked.format == "ipns-record":
        raise Refusal(400, "An IPNS record stands under /ipns/NAME.")
    if asked.format == "raw" and names:
        raise Refusal(400, "A block is asked for by its CID alone; along a path there are CAR files: ?format=car")
    scope = params.get("dag-scope")
    if scope not in (None, "block", "entity", "all"):
        raise Refusal(400, "dag-scope is one of block, entity and all.")
    entity_bytes = _read_range(params["entity-bytes"]) if "entity-bytes" in params else None
    if entity_bytes is not None and scope in (None, "all"):
        scope = "entity"
    return Query(root, names, asked, cast(Scope, scope or "all"), entity_bytes)


def read_ipns_name(raw_path: str, params: Mapping[str, str], accept: str | None) -> str:
    """Read a request for `/ipns/…`: the name whose record is wanted. Raises Refusal."""
    name, _, path = raw_path.removeprefix("/ipns/").partition("/")
    if not _IPNS_NAME.fullmatch(name):
        raise Refusal(400, "An IPNS name is a key: a CID of libp2p-key, or a peer ID. Domains are not looked up.")
    if negotiate(params, accept).format != "ipns-record":
        raise Refusal(406, "Only the record of an IPNS name is served: ?format=ipns-record")
    if path:
        raise Refusal(400, "An IPNS record has no path. Read the record, and ask for /ipfs/CID/path")
    return name


def negotiate(params: Mapping[str, str], accept: str | None) -> Asked:
    """Which form the answer has: `format` in the URL decides, then the Accept header. Raises Refusal.

    Parameters of a CAR file in the URL go before those of the header.
    """
    wanted = params.get("format")
    if wanted in _ELSEWHERE:
        raise Refusal(406, "This gateway serves what can be verified: ?format=raw or ?format=car")
    if wanted is not None and wanted not in MEDIA_TYPES:
        raise Refusal(400, "format is one of raw, car and ipns-record.")
    if wanted is None and not accept:
        raise Refusal(400, "Say which form you want: ?format=raw for a block, ?format=car for all of a DAG.")
    in_url = {name: params[f"car-{name}"] for name in _CAR if f"car-{name}" in params}
    offers = _read_accept(accept or "")
    of_car = [offer for media_type, offer in offers if media_type == MEDIA_TYPES["car"]]
    if wanted is not None:
        choices: Sequence[tuple[Format, Mapping[str, str]]] = [
            (cast(Format, wanted), offer) for offer in (of_car if wanted == "car" and of_car else [{}])
        ]
    else:
        choices = [(_FORMATS[media_type], offer) for media_type, offer in offers if media_type in _FORMATS]
    for name, offer in choices:
        signals = {**offer, **in_url}
        if name != "car" or all(signals.get(key, next(iter(known))) in known for key, known in _CAR.items()):
            return Asked(name, signals.get("dups") == "y", negotiated=wanted is None)
    if choices:
        raise Refusal(406, "A CAR file has version 1, is in the order dfs, and has dups=y or dups=n.")
    raise Refusal(406, "This gateway serves what can be verified: ?format=raw or ?format=car")


def _read_accept(header: str) -> list[tuple[str, Mapping[str, str]]]:
    """The media types of an Accept header (RFC 9110, section 12.5.1), the preferred first, none of weight 0."""
    if len(header) > limits.MAX_ACCEPT_HEADER_CHARS:
        raise Refusal(400, "The Accept header is too long.")
    offers: list[tuple[float, str, Mapping[str, str]]] = []
    for item in header.lower().split(","):
        media_type, *rest = (part.strip() for part in item.split(";"))
        signals = {key.strip(): value.strip(' "') for key, _, value in (part.partition("=") for part in rest)}
        weight = signals.pop("q", "1")
        if not _WEIGHT.fullmatch(weight):
            raise Refusal(400, "The Accept header has a weight that is none.")
        if float(weight) > 0:
            offers.append((-float(weight), media_type, signals))
    return [(media_type, signals) for _, media_type, signals in sorted(offers, key=lambda offer: offer[0])]


def _read_path(raw: str) -> tuple[Cid | None, tuple[str, ...]]:
    """The root and the names behind it. A '/' that is escaped is no separator, and no name can hold it."""
    root, _, path = raw.partition("/")
    if root == PROBE and not path:
        return None, ()
    try:
        names = [unquote_to_bytes(part).decode() for part in path.split("/")] if path else []
        if any("/" in name for name in names):
            raise Refusal(400, "The path holds a name that no folder holds.")
        return Cid.parse(unquote_to_bytes(root).decode()), split_names("/".join(names))
    except (MalformedCid, UnicodeDecodeError) as error:
        raise Refusal(400, "The path does not begin with a CID whose hash is sha2-256, or is not UTF-8.") from error
    except UnusablePath as error:
        raise Refusal(400, f"The path cannot be followed: {error}") from error


def _read_range(text: str) -> EntityBytes:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise Refusal(400, "entity-bytes is FROM:TO, two numbers, or FROM:* for all from there.")
    first, last = int(match[1]), None if match[2] == "*" else int(match[2])
    if last is not None and (first < 0) == (last < 0) and last < first:
        raise Refusal(400, "entity-bytes ends before it begins.")
    return EntityBytes(first, last)
