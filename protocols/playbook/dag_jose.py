"""The signature of a revision, a snapshot or a gate result: a DAG-JOSE block (IPLD specification, https://ipld.io/specs/codecs/dag-jose/spec/).

A JWS in general form, EdDSA, whose payload is the binary CID of the signed block: as *bytes*, which every DAG-JOSE
implementation shows as a link too and can follow. One envelope, by one did:key, has one encoding, and any other is
refused:

    {"payload": bytes, "signatures": [{"protected": bytes, "signature": bytes}]}

It is written here byte for byte: the dag-cbor codec would take a payload that looks like a CID for a link.
"""

import re
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key, public_key_of
from identity.errors import BadSignature, IdentityError, MalformedCid
from identity.keys import SIGNATURE_BYTES, KeyPair, verify
from identity.multibase import CODEC_DAG_CBOR, base64url
from protocols import dag_cbor
from protocols.errors import ForgedSignature, MalformedMessage, TooLarge
from protocols.limits import MAX_ENVELOPE_BYTES

_CID_BYTES: Final = 36
"""Version, codec below 0x80, hash function, hash length, 32 bytes of sha2-256."""

_BEFORE_PAYLOAD: Final = b"\xa2\x67payload\x58" + bytes([_CID_BYTES])
_BEFORE_PROTECTED: Final = b"\x6asignatures\x81\xa2\x69protected\x58"
_BEFORE_SIGNATURE: Final = b"\x69signature\x58" + bytes([SIGNATURE_BYTES])

_ENVELOPE: Final = re.compile(
    re.escape(_BEFORE_PAYLOAD)
    + b"(?P<payload>.{%d})" % _CID_BYTES
    + re.escape(_BEFORE_PROTECTED)
    + rb"(?P<length>.)"
    + rb'(?P<protected>\{"alg":"EdDSA","kid":"did:key:(?P<key>z[1-9A-HJ-NP-Za-km-z]{1,64})#(?P=key)"\})'
    + re.escape(_BEFORE_SIGNATURE)
    + b"(?P<signature>.{%d})" % SIGNATURE_BYTES,
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an envelope says; nothing of it is true before `check_signature`."""

    payload: Cid
    signer: Did
    signature: bytes

    def check_signature(self) -> None:
        """Raises ForgedSignature unless `signer` signed exactly this payload's CID."""
        try:
            verify(public_key_of(self.signer), _signing_input(self.payload, self.signer), self.signature)
        except BadSignature as error:
            raise ForgedSignature("the signature does not match") from error
        except IdentityError as error:
            raise MalformedMessage(f"signed by an unusable key: {error}") from error


def seal(payload: Cid, keys: KeyPair) -> bytes:
    """The envelope block in which `keys` sign the block that `payload` names."""
    signer = did_key(keys.public)
    protected = _protected(signer)
    return b"".join(
        (
            _BEFORE_PAYLOAD,
            bytes(payload),
            _BEFORE_PROTECTED,
            bytes([len(protected)]),
            protected,
            _BEFORE_SIGNATURE,
            keys.sign(_signing_input(payload, signer)),
        )
    )


def read(block: bytes) -> Envelope:
    """Read an envelope block without checking its signature. Raises TooLarge or MalformedMessage."""
    if len(block) > MAX_ENVELOPE_BYTES:
        raise TooLarge(f"an envelope of {len(block)} bytes; at most {MAX_ENVELOPE_BYTES} are read")
    match = _ENVELOPE.fullmatch(block)
    if match is None or match["length"][0] != len(match["protected"]):
        raise MalformedMessage("not a dag-jose envelope as they are made here")
    try:
        payload = Cid.from_bytes(match["payload"])
    except MalformedCid as error:
        raise MalformedMessage("the envelope's payload is not a CID") from error
    return Envelope(payload, Did(f"did:key:{match['key'].decode()}"), match["signature"])


def opened(envelope_block: bytes, payload_block: bytes, *, max_bytes: int, max_depth: int) -> tuple[Envelope, object]:
    """The envelope and the dag-cbor value that it signs: size, CID, signature and encoding are checked in this order.

    Raises RemoteProtocolError: TooLarge, TooDeep, ForgedSignature or MalformedMessage.
    """
    envelope = read(envelope_block)
    if len(payload_block) > max_bytes:
        raise TooLarge(f"a signed block of {len(payload_block)} bytes; at most {max_bytes} are read")
    if envelope.payload != Cid.of(CODEC_DAG_CBOR, payload_block):
        raise MalformedMessage("the envelope signs another block than this one")
    envelope.check_signature()
    return envelope, dag_cbor.decode(payload_block, max_bytes=max_bytes, max_depth=max_depth)


def _protected(signer: Did) -> bytes:
    """The protected header. Its keys are sorted; a did:key's one verification method repeats the key as fragment."""
    return f'{{"alg":"EdDSA","kid":"{signer}#{signer.removeprefix("did:key:")}"}}'.encode()


def _signing_input(payload: Cid, signer: Did) -> bytes:
    """What is signed (RFC 7515, section 5.1)."""
    return f"{base64url(_protected(signer))}.{base64url(bytes(payload))}".encode()
