"""Packing: putting a message into the envelopes that its form asks for.

Everything that makes a message provably its author's is checked here once more, before it leaves.
"""

from collections.abc import Collection, Sequence
from typing import Literal, assert_never

from identity.did import DidDocument, VerificationMethod
from identity.keys import KeyPair
from protocols.didcomm import jwe, jws
from protocols.didcomm.agreement import CURVES, Entropy
from protocols.didcomm.author import Author, as_author
from protocols.didcomm.content import Enc
from protocols.errors import LocalProtocolError, MessageTooLarge, UnusableRecipient
from protocols.limits import MAX_DIDCOMM_BYTES, MAX_RECIPIENTS
from protocols.message import Message

Form = Literal["authcrypt", "authcrypt-signed", "anoncrypt-authcrypt", "anoncrypt-signed", "anoncrypt"]
"""How a private message is packed, the outermost envelope first. All but `anoncrypt` prove the author."""


def pack_private(
    message: Message, *, author: Author, recipient: DidDocument, entropy: Entropy, form: Form = "authcrypt"
) -> bytes:
    """Pack for one DID in the form asked for.

    Authcrypt needs a curve that both sides have a key on. Where there is none, its forms become `anoncrypt-signed`,
    which proves the author as well, but to everybody whom the recipient shows it. Raises as the functions below.
    """
    to = (recipient,)
    match form:
        case "authcrypt" | "authcrypt-signed" | "anoncrypt-authcrypt":
            if not any(method.curve in _curves(author) for method in recipient.key_agreement):
                return pack_anoncrypt(message, recipients=to, entropy=entropy, signer=author)
            sign, hide = form == "authcrypt-signed", form == "anoncrypt-authcrypt"
            return pack_authcrypt(message, sender=author, recipients=to, entropy=entropy, sign=sign, hide_sender=hide)
        case "anoncrypt-signed":
            return pack_anoncrypt(message, recipients=to, entropy=entropy, signer=author)
        case "anoncrypt":
            return pack_anoncrypt(message, recipients=to, entropy=entropy)
        case _:
            assert_never(form)


def pack_authcrypt(
    message: Message,
    *,
    sender: KeyPair | Author,
    recipients: Sequence[DidDocument],
    entropy: Entropy,
    sign: bool = False,
    hide_sender: bool = False,
) -> bytes:
    """Encrypt so that only the recipient can read it, and only the recipient can tell who wrote it.

    `recipients` holds one document: a message for several DIDs is packed for each of them (DIDComm v2.1, "Message
    Encryption"). It goes to all the document's keys on one curve: the first one there that the sender has too. `sign`
    makes it provable to others as well; `hide_sender` keeps the sender's DID from the carriers.
    Raises LocalProtocolError if `message.from_` is not the sender or `message.to` lacks the recipient,
    UnusableRecipient, MessageTooLarge.
    """
    author = as_author(sender)
    methods = _methods(message, recipients, _curves(author))
    key = next(key for key in author.agreement if key.curve == methods[0].curve)
    plaintext = _signed_inside(message, author) if sign else _authored(message, author)
    packed = jwe.encrypt(plaintext, enc="A256CBC-HS512", sender=key, recipients=methods, entropy=entropy)
    if hide_sender:
        packed = jwe.encrypt(packed, enc="XC20P", sender=None, recipients=methods, entropy=entropy)
    return _sized(packed)


def pack_anoncrypt(
    message: Message,
    *,
    recipients: Sequence[DidDocument],
    entropy: Entropy,
    enc: Enc = "XC20P",
    signer: KeyPair | Author | None = None,
) -> bytes:
    """Encrypt so that only the recipient can read it and nobody can tell who wrote it, unless a `signer` signs inside.

    `recipients` and the errors are those of `pack_authcrypt`; a signed message must name its recipient in `to`.
    """
    methods = _methods(message, recipients, CURVES)
    plaintext = message.to_bytes() if signer is None else _signed_inside(message, as_author(signer))
    return _sized(jwe.encrypt(plaintext, enc=enc, sender=None, recipients=methods, entropy=entropy))


def pack_signed(message: Message, *, signer: KeyPair | Author) -> bytes:
    """Sign without encrypting: for everybody to read and check. This is the form that is gossiped.

    Raises LocalProtocolError if `message.from_` is not the signer, MessageTooLarge.
    """
    return _sized(_sign(message, as_author(signer)))


def _sign(message: Message, author: Author) -> bytes:
    return jws.sign(_authored(message, author), kid=author.signing_kid, signer=author)


def _signed_inside(message: Message, author: Author) -> bytes:
    """Signed, to be encrypted: without `to`, its recipient could pass it on as if it had been for somebody else."""
    if not message.to:
        raise LocalProtocolError("a message that is signed and encrypted names its recipient in `to`")
    return _sign(message, author)


def _authored(message: Message, author: Author) -> bytes:
    if message.from_ != author.did:
        raise LocalProtocolError("`from_` is not the DID of the key that sends the message")
    return message.to_bytes()


def _curves(author: Author) -> Collection[str]:
    return [key.curve for key in author.agreement]


def _methods(
    message: Message, recipients: Sequence[DidDocument], curves: Collection[str]
) -> Sequence[VerificationMethod]:
    """The recipient's keys on the first of its curves that is one of `curves`."""
    if len(recipients) != 1:
        raise UnusableRecipient("a message is packed for one DID at a time")
    document = recipients[0]
    if message.to and document.did not in message.to:
        raise LocalProtocolError("`to` does not name the recipient")
    curve = next((method.curve for method in document.key_agreement if method.curve in curves), None)
    methods = tuple(method for method in document.key_agreement if method.curve == curve)
    if not 0 < len(methods) <= MAX_RECIPIENTS:
        raise UnusableRecipient(f"{document.did} has {len(methods)} keys that we can encrypt to")
    return methods


def _sized(packed: bytes) -> bytes:
    if len(packed) > MAX_DIDCOMM_BYTES:
        raise MessageTooLarge(f"a packed message of {len(packed)} bytes; {MAX_DIDCOMM_BYTES} are allowed")
    return packed
