"""Opening: taking a message out of its envelopes, with every rule about who says what to whom.

Envelopes stand as anoncrypt(authcrypt(signed(message))), each of them optional but not all, and in no other order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from identity.curves import Curve
from identity.did import Did, did_of_url, resolve_did_key
from identity.keys import KeyPair
from protocols.didcomm import jwe, jws
from protocols.didcomm.author import AgreementKey, Author, agreement_keys
from protocols.didcomm.jose import Json, as_object
from protocols.didcomm.resolving import Resolve, document_of, public_key
from protocols.errors import MalformedMessage, SenderMismatch, TooDeep, TooLarge
from protocols.jsonguard import parse_json
from protocols.limits import MAX_DIDCOMM_BYTES, MAX_GOSSIP_BYTES, MAX_JSON_DEPTH, MAX_NESTING, MAX_PLAINTEXT_BYTES
from protocols.message import Message, read_message

_ANONCRYPT: Final = 0
_AUTHCRYPT: Final = 1
_SIGNED: Final = 2

_ORDER: Final = "envelopes stand as anoncrypt(authcrypt(signed(message)))"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A message and what its envelopes prove.

    `sender` encrypted it (authcrypt), `signer` signed it; where both are there they are the same. `message.from_` is
    one of the two or None: a `from` that nothing proves is dropped. `anonymous` says that the outermost envelope
    was anoncrypt. `recipient` is the DID of ours that it was encrypted to.
    """

    message: Message
    encrypted: bool
    sender: Did | None
    signer: Did | None
    anonymous: bool
    recipient: Did | None = None

    @property
    def author(self) -> Did | None:
        """Who is proven to have written the message; None if nobody is."""
        return self.sender or self.signer


def unpack(
    data: bytes, *, keys: Sequence[KeyPair | Author | AgreementKey], resolve: Resolve = resolve_did_key
) -> Unpacked:
    """Open every envelope around a message and check that they agree with it.

    `keys` are ours; a KeyPair stands for the keys of its did:key. A message without any envelope is refused. Times and
    replays are not checked here. Whatever `data` is, only RemoteProtocolError's children are raised (as long as
    `resolve` raises nothing but PagiError), and NotResolvedYet where `resolve` does.
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

    def __init__(self, keys: Sequence[KeyPair | Author | AgreementKey], resolve: Resolve) -> None:
        self._keys: Mapping[str, AgreementKey] = {key.kid: key for key in agreement_keys(keys)}
        self._resolve = resolve
        self._layers: list[int] = []
        self._recipients: list[Did] = []
        self._sender: Did | None = None
        self._signer: Did | None = None

    def decrypt(self, layer: Json) -> bytes:
        opened = jwe.decrypt(layer, keys=self._keys, sender_key=self._agreement_public)
        self._enter(_ANONCRYPT if opened.sender_kid is None else _AUTHCRYPT)
        self._recipients.append(self._keys[opened.recipient_kid].did)
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
        if message.to and not all(recipient in message.to for recipient in self._recipients):
            raise SenderMismatch("`to` does not name the recipient")
        if self._sender is None and self._signer is None and message.from_ is not None:
            message = replace(message, from_=None)
        return Unpacked(
            message=message,
            encrypted=bool(self._recipients),
            sender=self._sender,
            signer=self._signer,
            anonymous=self._layers[0] == _ANONCRYPT,
            recipient=self._recipients[-1] if self._recipients else None,
        )

    def _enter(self, layer: int) -> None:
        if self._layers and layer <= self._layers[-1]:
            raise TooDeep(_ORDER)
        self._layers.append(layer)

    def _agreement_public(self, kid: str, curve: Curve) -> bytes:
        return public_key(kid, curve, document_of(kid, self._resolve).key_agreement)

    def _signing_public(self, kid: str, curve: Curve) -> bytes:
        return public_key(kid, curve, document_of(kid, self._resolve).authentication)


def _parse(data: bytes, max_bytes: int) -> Json:
    return as_object(parse_json(data, max_bytes=max_bytes, max_depth=MAX_JSON_DEPTH), "a message")


def _is_signed(layer: Json) -> bool:
    return "payload" in layer and ("signatures" in layer or "signature" in layer) and "ciphertext" not in layer
