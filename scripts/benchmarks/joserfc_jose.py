"""DIDComm's envelopes as joserfc makes and opens them: the JOSE layer with none of DIDComm's checks above it.

Nothing is asked about `apv`, `typ`, key ids, the order of envelopes, depth or who the message says that it is from.
Keys are imported beforehand; JSON is read and written by the same library as ours.
"""

import os
import warnings
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.drafts.jwe_chacha20 import register_chacha20_poly1305
from joserfc.drafts.jwe_ecdh_1pu import register_ecdh_1pu
from joserfc.errors import SecurityWarning
from joserfc.jwe import GeneralJSONEncryption, JWERegistry, Recipient, decrypt_json, encrypt_json
from joserfc.jwk import ECKey, OKPKey

from benchmarks.agents import Agent
from identity.curves import to_jwk
from identity.did import VerificationMethod
from identity.multibase import base64url
from protocols.conversations.routing import FORWARD
from protocols.didcomm.content import Enc
from protocols.didcomm.jwe import ANONCRYPT, AUTHCRYPT, ENCRYPTED
from protocols.didcomm.jws import SIGNED_TYP
from protocols.message import PLAIN_TYP

PEER: Final = f"joserfc {version('joserfc')}, JOSE alone"

_Key = Any
"""An OKPKey or an ECKey: what their methods take has no type in common."""

warnings.simplefilter("ignore", SecurityWarning)
"""That RFC 9864 would rather have `Ed25519` than DIDComm's `EdDSA`."""

register_ecdh_1pu()
register_chacha20_poly1305()
_REGISTRY: Final = JWERegistry(
    algorithms=[ANONCRYPT, AUTHCRYPT, "A256CBC-HS512", "A256GCM", "XC20P"], verify_all_recipients=False
)
"""One key opens a message; the others may be on other devices of the recipient."""


class Jose:
    """What passes from `writer` to `reader`."""

    def __init__(self, writer: Agent, reader: Agent) -> None:
        own, *_ = writer.document.key_agreement
        first, *_ = reader.document.key_agreement
        self._skid = own.id
        self._sender, self._recipient = _private(writer, own), _private(reader, first)
        self._sender_public = _public(own)
        self._recipients = [(method.id, _public(method)) for method in reader.document.key_agreement]
        self._apv = base64url(sha256(".".join(sorted(kid for kid, _ in self._recipients)).encode()).digest())
        (signing,) = writer.document.authentication
        self._signing_kid, self._signer, self._verifier = signing.id, _private(writer, signing), _public(signing)

    def authcrypt(self, plaintext: bytes) -> bytes:
        header = {"alg": AUTHCRYPT, "enc": "A256CBC-HS512", "skid": self._skid, "apu": base64url(self._skid.encode())}
        return self._encrypt(plaintext, header, self._sender)

    def anoncrypt(self, plaintext: bytes, enc: Enc = "XC20P") -> bytes:
        return self._encrypt(plaintext, {"alg": ANONCRYPT, "enc": enc}, None)

    def sign(self, payload: bytes) -> bytes:
        protected = {"typ": SIGNED_TYP, "alg": "EdDSA"}
        member: Any = {"protected": protected, "header": {"kid": self._signing_kid}}
        return orjson.dumps(jws.serialize_json([member], payload, self._signer, algorithms=["EdDSA"]))

    def forward(self, packed: bytes, following: str) -> bytes:
        """Around a packed message, for a mediator: the reader."""
        message = {
            "id": os.urandom(16).hex(),
            "typ": PLAIN_TYP,
            "type": FORWARD,
            "body": {"next": following},
            "attachments": [{"data": {"json": orjson.loads(packed)}}],
        }
        return self.anoncrypt(orjson.dumps(message))

    def read_forward(self, packed: bytes) -> bytes:
        """What a mediator passes on."""
        return orjson.dumps(self.unpack(packed)["attachments"][0]["data"]["json"])

    def unpack(self, packed: bytes) -> Any:
        """The message, out of all its envelopes."""
        layer = orjson.loads(packed)
        while True:
            if "ciphertext" in layer:
                opened = decrypt_json(
                    layer, lambda _: self._recipient, registry=_REGISTRY, sender_key=self._sender_public
                )
                layer = orjson.loads(opened.plaintext or b"")
            elif "signatures" in layer:
                layer = orjson.loads(jws.deserialize_json(layer, self._verifier, algorithms=["EdDSA"]).payload)
            else:
                return layer

    def _encrypt(self, plaintext: bytes, header: dict[str, Any], sender: _Key | None) -> bytes:
        """One ephemeral key for all recipients, as DIDComm has it."""
        _, first = self._recipients[0]
        ephemeral = first.generate_key(first.curve_name, private=True)
        protected = {"typ": ENCRYPTED, **header, "epk": ephemeral.as_dict(private=False), "apv": self._apv}
        envelope = GeneralJSONEncryption(protected, plaintext)
        for kid, key in self._recipients:
            recipient: Recipient[Any] = Recipient(envelope, {"kid": kid}, key)
            recipient.ephemeral_key = ephemeral
            envelope.recipients.append(recipient)
        return orjson.dumps(encrypt_json(envelope, None, registry=_REGISTRY, sender_key=sender))


def _public(method: VerificationMethod) -> _Key:
    return _imported(to_jwk(method.curve, method.public))


def _private(agent: Agent, method: VerificationMethod) -> _Key:
    return _imported({**to_jwk(method.curve, method.public), "d": base64url(agent.secrets[method.id])})


def _imported(jwk: Any) -> _Key:
    return OKPKey.import_key(jwk) if jwk["kty"] == "OKP" else ECKey.import_key(jwk)
