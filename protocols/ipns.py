"""IPNS: names that are keys, and the signed records that say what a name stands for now.

Sans-IO. Specification: https://specs.ipfs.tech/ipns/ipns-record/. A record is a protobuf message whose `data` is
dag-cbor signed with the name's key (version 2). The fields of version 1 are written beside it for readers that know no
other, and must agree with it where they are there. Only names of Ed25519 keys are understood: they hold the key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from identity import multibase
from identity.credentials.errors import CredentialError
from identity.credentials.values import time_text, timestamp
from identity.did import Did, PeerId, did_key, did_of_peer_id, peer_id, public_key_of
from identity.errors import BadSignature, IdentityError, UnsupportedKey
from identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, check_public, verify
from protocols import dag_cbor, limits
from protocols.errors import (
    Expired,
    ForgedSignature,
    LocalProtocolError,
    MalformedMessage,
    TooLarge,
    UnusableIpnsName,
)
from protocols.ipld.protobuf import bytes_field, fields, varint_field

NAMESPACE: Final = b"/ipns/"
"""What the routing key of a name begins with; its peer ID in binary form follows."""

PROTOCOL: Final = "/pagi/ipns/1.0"
"""Asks a twin for the record of a name: the name's routing key, answered by the record or by nothing."""

MAX_SEQUENCE: Final = 2**63 - 1

_KEY_CODEC: Final = 0x72
_PUBLIC_KEY: Final = bytes.fromhex("08011220")
"""The libp2p PublicKey protobuf of an Ed25519 key, up to the key itself."""

_MULTIHASH: Final = bytes.fromhex("0024") + _PUBLIC_KEY
_CID: Final = b"\x01" + multibase.encode_varint(_KEY_CODEC) + _MULTIHASH
_SIGNED: Final = b"ipns-signature:"
_EOL: Final = 0
_MAX_DEPTH: Final = 8
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_VALUE: Final = 1
_SIGNATURE_V1: Final = 2
_VALIDITY_TYPE: Final = 3
_VALIDITY: Final = 4
_SEQUENCE: Final = 5
_TTL: Final = 6
_PUBLIC: Final = 7
_SIGNATURE_V2: Final = 8
_DATA: Final = 9


@dataclass(frozen=True, slots=True)
class IpnsName:
    """A name: the Ed25519 key that it stands for. `str(name)` is the base36 form of its CIDv1 (`k51…`)."""

    public: bytes

    @property
    def routing_key(self) -> bytes:
        """What its record is stored under in the DHT."""
        return NAMESPACE + _MULTIHASH + self.public

    @property
    def peer_id(self) -> PeerId:
        return peer_id(self.public)

    @property
    def did(self) -> Did:
        return did_key(self.public)

    def __str__(self) -> str:
        number = int.from_bytes(_CID + self.public)
        digits = []
        while number:
            number, digit = divmod(number, 36)
            digits.append(_BASE36[digit])
        return "k" + "".join(reversed(digits))


@dataclass(frozen=True, slots=True, kw_only=True)
class IpnsRecord:
    """A record whose signature was checked. `value` is a path such as `/ipfs/bafy…`; `raw` is the record as it came."""

    value: str
    sequence: int
    valid_until_ms: int
    ttl_s: float
    raw: bytes

    def newer_than(self, other: "IpnsRecord") -> bool:
        """Whether this one takes the other's place: by sequence, then by end of validity, then by its bytes."""
        mine = (self.sequence, self.valid_until_ms, self.raw)
        return mine > (other.sequence, other.valid_until_ms, other.raw)


def newest_of(records: Iterable[IpnsRecord]) -> IpnsRecord | None:
    """The one that takes the place of all others; None of none."""
    newest = None
    for record in records:
        if newest is None or record.newer_than(newest):
            newest = record
    return newest


def parse_name(text: str) -> IpnsName:
    """Read a name: base36 or another multibase of its CID, a peer ID, a did:key, each also behind `/ipns/`.

    Raises UnusableIpnsName.
    """
    text = text.removeprefix("ipns://").removeprefix("/ipns/")
    if len(text) > limits.MAX_IPNS_NAME_CHARS:
        raise UnusableIpnsName("longer than any name")
    try:
        if text.startswith("did:"):
            return IpnsName(public_key_of(Did(text)))
        if text.startswith(("12D3KooW", "Qm", "1")):
            return IpnsName(public_key_of(did_of_peer_id(PeerId(text))))
        data = _from_base36(text[1:]) if text.startswith("k") else multibase.decode(text)
        if not data.startswith(_CID) or len(data) != len(_CID) + PUBLIC_KEY_BYTES:
            raise UnusableIpnsName(f"not the name of an Ed25519 key: {text!r}")
        return IpnsName(check_public(data[len(_CID) :]))
    except (IdentityError, ValueError) as error:
        raise UnusableIpnsName(f"not the name of an Ed25519 key: {text!r}") from error


def name_of_key(key: bytes) -> IpnsName:
    """The name whose record is stored under a routing key. Raises UnusableIpnsName."""
    head = NAMESPACE + _MULTIHASH
    if not key.startswith(head) or len(key) != len(head) + PUBLIC_KEY_BYTES:
        raise UnusableIpnsName("not the routing key of an Ed25519 name")
    try:
        return IpnsName(check_public(key[len(head) :]))
    except UnsupportedKey as error:
        raise UnusableIpnsName(str(error)) from error


def create_record(
    sign: Callable[[bytes], bytes], *, value: str, sequence: int, valid_until_ms: int, ttl_s: int
) -> bytes:
    """Make a record that says `value` (a path) until `valid_until_ms`, rounded down to a second.

    `sign` is the name's key. Raises LocalProtocolError if it would not be taken by our own check.
    """
    if not 0 <= sequence <= MAX_SEQUENCE or not value.startswith("/"):
        raise LocalProtocolError("an IPNS record names a path, and its sequence is a number of 63 bits")
    path, validity = value.encode(), time_text(valid_until_ms / 1000).encode()
    ttl_ns = ttl_s * 10**9
    data = dag_cbor.encode(
        {"Value": path, "Validity": validity, "ValidityType": _EOL, "Sequence": sequence, "TTL": ttl_ns}
    )
    record = b"".join(
        (
            bytes_field(_VALUE, path),
            bytes_field(_SIGNATURE_V1, sign(path + validity + b"EOL")),
            varint_field(_VALIDITY_TYPE, _EOL),
            bytes_field(_VALIDITY, validity),
            varint_field(_SEQUENCE, sequence),
            varint_field(_TTL, ttl_ns),
            bytes_field(_SIGNATURE_V2, sign(_SIGNED + data)),
            bytes_field(_DATA, data),
        )
    )
    if len(path) > limits.MAX_IPNS_VALUE_BYTES or len(record) > limits.MAX_IPNS_RECORD_BYTES:
        raise LocalProtocolError("the path of an IPNS record is too long")
    return record


def verify_record(name: IpnsName, raw: bytes, *, now_ms: int) -> IpnsRecord:
    """Check a record of anybody (IPNS specification, section "Record verification").

    Raises TooLarge, MalformedMessage, ForgedSignature (nothing of it may be used) or Expired.
    """
    if len(raw) > limits.MAX_IPNS_RECORD_BYTES:
        raise TooLarge(f"an IPNS record of {len(raw)} bytes; at most {limits.MAX_IPNS_RECORD_BYTES} are read")
    found = dict(fields(raw))
    data, signature = found.get(_DATA), found.get(_SIGNATURE_V2)
    if not isinstance(data, bytes) or not isinstance(signature, bytes) or len(signature) != SIGNATURE_BYTES:
        raise MalformedMessage("an IPNS record without data and a signature of version 2")
    if found.get(_PUBLIC, _PUBLIC_KEY + name.public) != _PUBLIC_KEY + name.public:
        raise ForgedSignature("the key in the IPNS record is not that of its name")
    try:
        verify(name.public, _SIGNED + data, signature)
    except BadSignature as error:
        raise ForgedSignature(str(error)) from error
    record = _read(data, found, raw)
    if record.valid_until_ms <= now_ms:
        raise Expired(f"the IPNS record was valid until {time_text(record.valid_until_ms / 1000)}")
    return record


def verify_value(key: bytes, value: bytes, *, now_ms: int) -> IpnsRecord:
    """Check what the DHT has under a key. Raises UnusableIpnsName, and what `verify_record` raises."""
    return verify_record(name_of_key(key), value, now_ms=now_ms)


def _read(data: bytes, found: Mapping[int, int | bytes], raw: bytes) -> IpnsRecord:
    """The members of `data`, which must agree with the fields of version 1 where there are any."""
    body = dag_cbor.decode(data, max_bytes=limits.MAX_IPNS_RECORD_BYTES, max_depth=_MAX_DEPTH)
    if not isinstance(body, dict):
        raise MalformedMessage("the data of the IPNS record is no map")
    value, validity = _bytes(body, "Value", limits.MAX_IPNS_VALUE_BYTES), _bytes(body, "Validity", 64)
    kind, sequence, ttl_ns = _number(body, "ValidityType"), _number(body, "Sequence"), _number(body, "TTL")
    if kind != _EOL:
        raise MalformedMessage("an IPNS record of an unknown kind of validity")
    if found.get(_VALUE) or found.get(_SIGNATURE_V1):
        first = [found.get(field) for field in (_VALUE, _VALIDITY)]
        numbers = [found.get(field, 0) for field in (_VALIDITY_TYPE, _SEQUENCE, _TTL)]
        if first != [value, validity] or numbers != [kind, sequence, ttl_ns]:
            raise MalformedMessage("the two versions in the IPNS record do not agree")
    try:
        return IpnsRecord(
            value=value.decode(),
            sequence=sequence,
            valid_until_ms=int(timestamp(validity.decode(), "Validity") * 1000),
            ttl_s=ttl_ns / 10**9,
            raw=raw,
        )
    except (UnicodeDecodeError, CredentialError) as error:
        raise MalformedMessage("the IPNS record has a path that is no text, or an end that is no time") from error


def _bytes(body: Mapping[str, object], name: str, max_bytes: int) -> bytes:
    value = body.get(name)
    if not isinstance(value, bytes) or len(value) > max_bytes:
        raise MalformedMessage(f"{name!r} of the IPNS record is not at most {max_bytes} bytes")
    return value


def _number(body: Mapping[str, object], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEQUENCE:
        raise MalformedMessage(f"{name!r} of the IPNS record is not a number of 63 bits")
    return value


def _from_base36(text: str) -> bytes:
    if not text or text.strip(_BASE36):
        raise ValueError("not base36 in lower case")
    number = int(text, 36)
    return number.to_bytes((number.bit_length() + 7) // 8)
