"""Encrypted envelopes: JWE in its general JSON form, for the keys of one DID (DIDComm v2.1, "Message Encryption").

Authcrypt is ECDH-1PU+A256KW with A256CBC-HS512, anoncrypt is ECDH-ES+A256KW. This module knows keys and key ids; what
they say about the message inside is for `envelope` to check.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from identity.curves import Curve, to_jwk
from identity.did import VerificationMethod
from identity.multibase import base64url
from protocols.didcomm import agreement
from protocols.didcomm.agreement import Entropy
from protocols.didcomm.author import AgreementKey
from protocols.didcomm.content import CIPHERS, ContentCipher, Enc
from protocols.didcomm.jose import Json, as_object, binary, disjoint, key_id, protected_header
from protocols.errors import (
    MalformedMessage,
    TooManyRecipients,
    Undecryptable,
    UnknownRecipient,
    UnsupportedAlgorithm,
)
from protocols.limits import MAX_RECIPIENTS

PublicKeyOf = Callable[[str, Curve], bytes]
"""Finds the public key agreement key on this curve of a sender's key id, or raises UnresolvableKey."""

ENCRYPTED: Final = "application/didcomm-encrypted+json"
"""The media type of a packed message (DIDComm v2.1, "IANA Media Types")."""

ANONCRYPT: Final = "ECDH-ES+A256KW"
AUTHCRYPT: Final = "ECDH-1PU+A256KW"

_ENCS: Final[Mapping[str, tuple[str, ...]]] = {
    ANONCRYPT: ("A256CBC-HS512", "A256GCM", "XC20P"),
    AUTHCRYPT: ("A256CBC-HS512",),
}
"""ECDH-1PU draft 04, section 2.1: only AES-CBC with HMAC, whose tag commits to the key."""

_WRAP_EXTRA_BYTES: Final = 8
"""What AES key wrap (RFC 3394) adds to a key."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What came out of an envelope, and the ids of the keys that prove it. `sender_kid` is None for anoncrypt."""

    plaintext: bytes
    recipient_kid: str
    sender_kid: str | None


def encrypt(
    plaintext: bytes,
    *,
    enc: Enc,
    sender: AgreementKey | None,
    recipients: Sequence[VerificationMethod],
    entropy: Entropy,
) -> bytes:
    """Pack `plaintext` for each key of `recipients`: authcrypt if there is a `sender`, else anoncrypt.

    All keys are on one curve (DIDComm v2.1, "ECDH-1PU key wrapping and common protected headers"). Draws `entropy` for
    the ephemeral key, then for the content key and the nonce in one piece.
    """
    cipher = CIPHERS[enc]
    alg = AUTHCRYPT if sender else ANONCRYPT
    assert enc in _ENCS[alg]
    curve = recipients[0].curve
    assert sender is None or sender.curve == curve
    assert all(method.curve == curve for method in recipients)
    public, exchange = agreement.ephemeral(curve, entropy)
    secrets = entropy(cipher.key_bytes + cipher.iv_bytes)
    content_key, iv = secrets[: cipher.key_bytes], secrets[cipher.key_bytes :]

    apu = sender.kid.encode() if sender else b""
    apv = _apv(method.id for method in recipients)
    header = {"typ": ENCRYPTED, "alg": alg, "enc": enc, "epk": to_jwk(curve, public), "apv": base64url(apv)}
    if sender:
        header |= {"skid": sender.kid, "apu": base64url(apu)}
    protected = base64url(orjson.dumps(header))
    sealed = cipher.encrypt(content_key, iv, plaintext, protected.encode())
    ciphertext, tag = sealed[: -cipher.tag_bytes], sealed[-cipher.tag_bytes :]

    def wrapped(public: bytes) -> bytes:
        shared = exchange(public)
        if sender:
            shared += agreement.agree_static(curve, sender.secret, public)
        kek = agreement.kek(shared, alg=alg, apu=apu, apv=apv, tag=tag if sender else None)
        return aes_key_wrap(kek, content_key)

    entries = [
        {"header": {"kid": method.id}, "encrypted_key": base64url(wrapped(method.public))} for method in recipients
    ]
    content = {"iv": base64url(iv), "ciphertext": base64url(ciphertext), "tag": base64url(tag)}
    return orjson.dumps({"protected": protected, "recipients": entries, **content})


def decrypt(envelope: Json, *, keys: Mapping[str, AgreementKey], sender_key: PublicKeyOf) -> Opened:
    """Open an envelope with the first of its recipient keys that is one of `keys` (by key id).

    Raises MalformedMessage, UnsupportedAlgorithm, TooManyRecipients, UnknownRecipient, Undecryptable, or what
    `sender_key` raises.
    """
    header = protected_header(envelope, typs=(ENCRYPTED,))
    if "aad" in envelope:
        raise UnsupportedAlgorithm("`aad` is not used in DIDComm")
    alg, cipher = _algorithms(header)
    curve, public = agreement.read_epk(header.get("epk"))
    entries = _recipients(envelope, header)
    apv = binary(header, "apv", hashlib.sha256().digest_size)
    if apv != _apv(kid for kid, _ in entries):
        raise MalformedMessage("`apv` does not match the recipients")
    key, entry = next(((keys[kid], entry) for kid, entry in entries if kid in keys), (None, None))
    if key is None or entry is None:
        raise UnknownRecipient("the message is encrypted for other keys than ours")
    if key.curve != curve:
        raise MalformedMessage("`epk` is on another curve than the recipient's key")

    content_iv, ciphertext = binary(envelope, "iv", cipher.iv_bytes), binary(envelope, "ciphertext")
    tag = binary(envelope, "tag", cipher.tag_bytes)
    encrypted_key = binary(entry, "encrypted_key", cipher.key_bytes + _WRAP_EXTRA_BYTES)
    apu = binary(header, "apu") if "apu" in header or alg == AUTHCRYPT else b""
    sender_kid = _sender_kid(header, apu) if alg == AUTHCRYPT else None
    shared = agreement.agree(curve, key.secret, public)
    if sender_kid is not None:
        shared += agreement.agree_static(curve, key.secret, sender_key(sender_kid, curve))
    kek = agreement.kek(shared, alg=alg, apu=apu, apv=apv, tag=tag if sender_kid is not None else None)
    try:
        content_key = aes_key_unwrap(kek, encrypted_key)
    except InvalidUnwrap as error:
        raise Undecryptable("the content does not authenticate") from error
    protected = str(envelope["protected"]).encode()
    return Opened(cipher.decrypt(content_key, content_iv, ciphertext + tag, protected), key.kid, sender_kid)


def _apv(kids: Iterable[str]) -> bytes:
    return hashlib.sha256(".".join(sorted(kids)).encode()).digest()


def _algorithms(header: Json) -> tuple[str, ContentCipher]:
    alg, enc = header.get("alg"), header.get("enc")
    if not isinstance(alg, str) or alg not in _ENCS:
        raise UnsupportedAlgorithm("`alg` is none of DIDComm's")
    if not isinstance(enc, str) or enc not in _ENCS[alg]:
        raise UnsupportedAlgorithm(f"`enc` is none that goes with {alg}")
    return alg, CIPHERS[enc]


def _recipients(envelope: Json, header: Json) -> list[tuple[str, Json]]:
    """The recipients' key ids and entries, in order."""
    entries = envelope.get("recipients")
    if not isinstance(entries, list) or not entries:
        raise MalformedMessage("`recipients` is not a list")
    if len(entries) > MAX_RECIPIENTS:
        raise TooManyRecipients(f"{len(entries)} recipients; {MAX_RECIPIENTS} are allowed")
    shared = as_object(envelope.get("unprotected", {}), "`unprotected`")
    taken = disjoint(header, shared)
    found = []
    for value in entries:
        entry = as_object(value, "a recipient")
        own = as_object(entry.get("header"), "a recipient's header")
        if not taken.isdisjoint(own):
            raise MalformedMessage("a recipient's header repeats one of the envelope's")
        found.append((key_id(own), entry))
    return found


def _sender_kid(header: Json, apu: bytes) -> str:
    """The sender's key id: `apu` holds it, and `skid` repeats it where it is present."""
    try:
        kid = apu.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage("`apu` is not a key id") from error
    if key_id({"skid": kid, **header}, "skid") != kid or not kid:
        raise MalformedMessage("`apu` and `skid` name different keys")
    return kid
