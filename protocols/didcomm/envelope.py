"""DIDComm v2.1 envelopes around messages: pack and unpack, with every rule about who says what to whom.

Envelopes stand as anoncrypt(authcrypt(signed(message))), each of them optional but not all, and in no other order.
Pure: entropy and the resolving of DIDs are arguments, time checks are in `protocols.message`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from identity.did import Did, DidDocument, VerificationMethod, did_key, did_of_url, resolve_did_key
from identity.errors import PagiError
from identity.keys import KeyPair
from protocols.didcomm import jwe, jws
from protocols.didcomm.agreement import AgreementKey, agreement_key, agreement_methods
from protocols.didcomm.content import Enc
from protocols.didcomm.jose import Json, as_object
from protocols.didcomm.jwe import Entropy
from protocols.errors import (
    LocalProtocolError,
    MalformedMessage,
    MessageTooLarge,
    SenderMismatch,
    TooDeep,
    TooLarge,
    UnresolvableKey,
    UnusableRecipient,
)
from protocols.jsonguard import parse_json
from protocols.limits import (
    MAX_DIDCOMM_BYTES,
    MAX_GOSSIP_BYTES,
    MAX_JSON_DEPTH,
    MAX_NESTING,
    MAX_PLAINTEXT_BYTES,
    MAX_RECIPIENTS,
)
from protocols.message import Message, read_message

Resolve = Callable[[Did], DidDocument]
"""Finds the document of a DID. It raises PagiError if it cannot."""

_ANONCRYPT: Final = 0
_AUTHCRYPT: Final = 1
_SIGNED: Final = 2

_ORDER: Final = "envelopes stand as anoncrypt(authcrypt(signed(message)))"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A message and what its envelopes prove.

    `sender` encrypted it (authcrypt), `signer` signed it; where both are there they are the same. `message.from_` is
    one of the two or None: a `from` that nothing proves is dropped. `anonymous` says that the outermost envelope
    was anoncrypt.
    """

    message: Message
    encrypted: bool
    sender: Did | None
    signer: Did | None
    anonymous: bool

    @property
    def author(self) -> Did | None:
        """Who is proven to have written the message; None if nobody is."""
        return self.sender or self.signer


def pack_authcrypt(
    message: Message,
    *,
    sender: KeyPair,
    recipients: Sequence[DidDocument],
    entropy: Entropy,
    sign: bool = False,
    hide_sender: bool = False,
) -> bytes:
    """Encrypt so that only the recipient can read it, and only the recipient can tell who wrote it.

    `recipients` holds one document: a message for several DIDs is packed for each of them (DIDComm v2.1, "Message
    Encryption"). `sign` makes it provable to others as well; `hide_sender` keeps the sender's DID from the carriers.
    Raises LocalProtocolError if `message.from_` is not the sender or `message.to` lacks the recipient,
    UnusableRecipient, MessageTooLarge.
    """
    methods = _methods(message, recipients)
    plaintext = _signed_inside(message, sender) if sign else _authored(message, sender)
    packed = jwe.encrypt(
        plaintext, enc="A256CBC-HS512", sender=agreement_key(sender), recipients=methods, entropy=entropy
    )
    if hide_sender:
        packed = jwe.encrypt(packed, enc="XC20P", sender=None, recipients=methods, entropy=entropy)
    return _sized(packed)


def pack_anoncrypt(
    message: Message,
    *,
    recipients: Sequence[DidDocument],
    entropy: Entropy,
    enc: Enc = "XC20P",
    signer: KeyPair | None = None,
) -> bytes:
    """Encrypt so that only the recipient can read it and nobody can tell who wrote it, unless a `signer` signs inside.

    `recipients` and the errors are those of `pack_authcrypt`; a signed message must name its recipient in `to`.
    """
    methods = _methods(message, recipients)
    plaintext = message.to_bytes() if signer is None else _signed_inside(message, signer)
    return _sized(jwe.encrypt(plaintext, enc=enc, sender=None, recipients=methods, entropy=entropy))


def pack_signed(message: Message, *, signer: KeyPair) -> bytes:
    """Sign without encrypting: for everybody to read and check. This is the form that is gossiped.

    Raises LocalProtocolError if `message.from_` is not the signer, MessageTooLarge.
    """
    return _sized(_sign(message, signer))


def unpack(data: bytes, *, keys: Sequence[KeyPair | AgreementKey], resolve: Resolve = resolve_did_key) -> Unpacked:
    """Open every envelope around a message and check that they agree with it.

    `keys` are ours; a KeyPair stands for the key agreement key of its did:key. A message without any envelope is
    refused. Times and replays are not checked here. Whatever `data` is, only RemoteProtocolError's children are raised
    (as long as `resolve` raises nothing but PagiError).
    """
    opening = _Opening(keys, resolve)
    content = data
    for _ in range(MAX_NESTING + 1):
        layer = _parse(content, MAX_DIDCOMM_BYTES)
        if "ciphertext" in layer:
            content = opening.decrypt(layer)
        elif _is_signed(layer):
            content = opening.verify(layer)
        else:
            if len(content) > MAX_PLAINTEXT_BYTES:
                raise TooLarge(f"a message of {len(content)} bytes; {MAX_PLAINTEXT_BYTES} are allowed")
            return opening.finish(read_message(layer))
    raise TooDeep(_ORDER)


def verify_signed(data: bytes, *, resolve: Resolve = resolve_did_key) -> Unpacked:
    """Read a message that is signed and not encrypted, as it is gossiped; of at most `limits.MAX_GOSSIP_BYTES`.

    The signer is proven to be the message's author. Raises as `unpack` does.
    """
    layer = _parse(data, MAX_GOSSIP_BYTES)
    if not _is_signed(layer):
        raise MalformedMessage("not a signed message")
    opening = _Opening((), resolve)
    return opening.finish(read_message(_parse(opening.verify(layer), MAX_GOSSIP_BYTES)))


class _Opening:
    """One message on its way out of its envelopes: what each of them proved so far."""

    def __init__(self, keys: Sequence[KeyPair | AgreementKey], resolve: Resolve) -> None:
        own = (agreement_key(key) if isinstance(key, KeyPair) else key for key in keys)
        self._keys: Mapping[str, AgreementKey] = {key.kid: key for key in own}
        self._resolve = resolve
        self._layers: list[int] = []
        self._recipients: set[Did] = set()
        self._sender: Did | None = None
        self._signer: Did | None = None

    def decrypt(self, layer: Json) -> bytes:
        opened = jwe.decrypt(layer, keys=self._keys, sender_key=self._agreement_public)
        self._enter(_ANONCRYPT if opened.sender_kid is None else _AUTHCRYPT)
        self._recipients.add(self._keys[opened.recipient_kid].did)
        if opened.sender_kid is not None:
            self._sender = did_of_url(opened.sender_kid)
        return opened.plaintext

    def verify(self, layer: Json) -> bytes:
        self._enter(_SIGNED)
        payload, kid = jws.open_signed(layer, signer_key=self._signing_public)
        self._signer = did_of_url(kid)
        return payload

    def finish(self, message: Message) -> Unpacked:
        """Hold the message against its envelopes (DIDComm v2.1, "Message Layer Addressing Consistency")."""
        if not self._layers:
            raise MalformedMessage("a message without an envelope proves nothing")
        for author in (self._sender, self._signer):
            if author is not None and author != message.from_:
                raise SenderMismatch("`from` is not who encrypted or signed the message")
        if self._recipients and self._signer is not None and not message.to:
            raise SenderMismatch("a message that is signed and encrypted must name its recipients in `to`")
        if message.to and not self._recipients.issubset(message.to):
            raise SenderMismatch("`to` does not name the recipient")
        if self._sender is None and self._signer is None and message.from_ is not None:
            message = replace(message, from_=None)
        return Unpacked(
            message=message,
            encrypted=bool(self._recipients),
            sender=self._sender,
            signer=self._signer,
            anonymous=self._layers[0] == _ANONCRYPT,
        )

    def _enter(self, layer: int) -> None:
        if self._layers and layer <= self._layers[-1]:
            raise TooDeep(_ORDER)
        self._layers.append(layer)

    def _agreement_public(self, kid: str) -> bytes:
        return _named(kid, agreement_methods(self._document(kid)))

    def _signing_public(self, kid: str) -> bytes:
        return _named(kid, tuple(key for key in self._document(kid).authentication if key.curve == "Ed25519"))

    def _document(self, kid: str) -> DidDocument:
        try:
            return self._resolve(did_of_url(kid))
        except PagiError as error:
            raise UnresolvableKey("the sender's DID does not resolve") from error


def _named(kid: str, methods: Sequence[VerificationMethod]) -> bytes:
    for method in methods:
        if method.id == kid:
            return method.public
    raise UnresolvableKey("the sender's DID document does not hold the key for this purpose")


def _parse(data: bytes, max_bytes: int) -> Json:
    return as_object(parse_json(data, max_bytes=max_bytes, max_depth=MAX_JSON_DEPTH), "a message")


def _is_signed(layer: Json) -> bool:
    return "payload" in layer and ("signatures" in layer or "signature" in layer) and "ciphertext" not in layer


@lru_cache(maxsize=64)
def _document_of(keys: KeyPair) -> DidDocument:
    return resolve_did_key(did_key(keys.public))


def _sign(message: Message, signer: KeyPair) -> bytes:
    return jws.sign(_authored(message, signer), kid=_document_of(signer).authentication[0].id, signer=signer)


def _signed_inside(message: Message, signer: KeyPair) -> bytes:
    """Signed, to be encrypted: without `to`, its recipient could pass it on as if it had been for somebody else."""
    if not message.to:
        raise LocalProtocolError("a message that is signed and encrypted names its recipient in `to`")
    return _sign(message, signer)


def _authored(message: Message, author: KeyPair) -> bytes:
    if message.from_ != _document_of(author).did:
        raise LocalProtocolError("`from_` is not the DID of the key that sends the message")
    return message.to_bytes()


def _methods(message: Message, recipients: Sequence[DidDocument]) -> Sequence[VerificationMethod]:
    if len(recipients) != 1:
        raise UnusableRecipient("a message is packed for one DID at a time")
    document = recipients[0]
    if message.to and document.did not in message.to:
        raise LocalProtocolError("`to` does not name the recipient")
    methods = agreement_methods(document)
    if not 0 < len(methods) <= MAX_RECIPIENTS:
        raise UnusableRecipient(f"{document.did} has {len(methods)} keys that we can encrypt to")
    return methods


def _sized(packed: bytes) -> bytes:
    if len(packed) > MAX_DIDCOMM_BYTES:
        raise MessageTooLarge(f"a packed message of {len(packed)} bytes; {MAX_DIDCOMM_BYTES} are allowed")
    return packed
