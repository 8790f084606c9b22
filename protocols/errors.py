"""Errors of the protocols room.

ProtocolError
├── RemoteProtocolError         40020  what the other side sent is refused; nothing of it was used
│   ├── MalformedMessage        40021  not the format it claims to be
│   ├── UnsupportedAlgorithm    40022  an algorithm, curve or critical header that we do not speak
│   ├── TooDeep                 40023  nested deeper than limits allow, or envelopes in an order that is not allowed
│   ├── TooManyRecipients       40024
│   ├── Undecryptable           40025  the key wrap or the content does not authenticate
│   ├── ClockSkew               40026  made in the future
│   ├── UnusableIpnsName        40027  not the IPNS name of an Ed25519 key
│   ├── ForgedSignature         40121  the signature does not match
│   ├── SenderMismatch          40321  `from`, `to`, signer and encrypting key do not belong together
│   ├── UnknownRecipient        40421  no key of ours is named
│   ├── UnresolvableKey         40422  the sender's DID or key cannot be resolved
│   ├── UnexpectedMessage       40934  not due in the state that the conversation is in
│   ├── Expired                 41021  past its expires_time, or older than the replay window
│   └── TooLarge                41321
└── LocalProtocolError          50020  our own caller asked for something that cannot be sent
    ├── MessageTooLarge         41322
    └── UnusableRecipient       42221  no recipient, too many, or one without a key that we can encrypt to
"""

from identity.errors import PagiError


class ProtocolError(PagiError):
    """Something on the wire cannot be read or written."""


class RemoteProtocolError(ProtocolError):
    """What came from outside is refused. It changed no state."""

    code = 40020
    hint = "The other side must send a correct message; nothing was changed here."


class MalformedMessage(RemoteProtocolError):
    code = 40021
    hint = "The bytes are not what they claim to be. The sender's software may be faulty or of another version."


class UnsupportedAlgorithm(RemoteProtocolError):
    code = 40022
    hint = "Use X25519 or a NIST curve with A256CBC-HS512, A256GCM or XC20P, and EdDSA, ES256 or ES256K signatures."


class TooDeep(RemoteProtocolError):
    code = 40023
    hint = "Nest less: envelopes may stand as anoncrypt(authcrypt(signed(message))) and no further."


class TooManyRecipients(RemoteProtocolError):
    code = 40024
    hint = "Send the message in several envelopes."


class Undecryptable(RemoteProtocolError):
    code = 40025
    hint = "The message was changed on its way, or was encrypted for another key."


class ClockSkew(RemoteProtocolError):
    code = 40026
    hint = "Check the clocks of both machines."


class UnusableIpnsName(RemoteProtocolError):
    code = 40027
    hint = "Write a name of an Ed25519 key: 'k51…', a peer ID '12D3KooW…', or a did:key."


class ForgedSignature(RemoteProtocolError):
    code = 40121
    hint = "The content was changed, or another key signed it: do not use it."


class SenderMismatch(RemoteProtocolError):
    code = 40321
    hint = "The message names a sender or recipient that its keys do not prove: do not use it."


class UnknownRecipient(RemoteProtocolError):
    code = 40421
    hint = "The message is for somebody else. The sender should resolve our DID again."


class UnresolvableKey(RemoteProtocolError):
    code = 40422
    hint = "The sender's DID does not resolve, or its document does not hold the key that was used."


class UnexpectedMessage(RemoteProtocolError):
    code = 40934
    hint = "The two sides are not at the same point of the conversation: begin it again."


class Expired(RemoteProtocolError):
    code = 41021
    hint = "The sender should send a new message."


class TooLarge(RemoteProtocolError):
    code = 41321
    hint = "Put large content into blocks and send its CID."


class LocalProtocolError(ProtocolError):
    """Our own caller asked for something that cannot be sent."""

    code = 50020
    hint = "This is a fault of the caller: see the message."


class MessageTooLarge(LocalProtocolError):
    code = 41322
    hint = "Put large content into blocks and send its CID."


class UnusableRecipient(LocalProtocolError):
    code = 42221
    hint = "The recipient's DID document needs a key agreement key on X25519, P-256, P-384 or P-521."
