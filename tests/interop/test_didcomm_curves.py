"""Elliptic keys and rotations against npm didcomm-node: P-256 both ways, ES256, ES256K and `from_prior`."""

import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.curves import Curve, to_jwk
from identity.did import Did, DidDocument, VerificationMethod
from identity.keys import KeyPair
from identity.multibase import base64url
from protocols.didcomm.author import AgreementKey, Author
from protocols.didcomm.envelope import Form, pack_private, unpack, verify_signed
from protocols.didcomm.from_prior import FromPrior, make_from_prior, read_from_prior, rotation_of
from protocols.message import Message

pytestmark = [pytest.mark.node_js, pytest.mark.slow]

NOW = 1_700_000_000


class Agent:
    """An agent with keys on P-256, an Ed25519 key, and one on each of P-256 and secp256k1 to sign with."""

    def __init__(self, name: str) -> None:
        self.did = Did(f"did:example:{name}")
        self.keys = KeyPair(os.urandom(32))
        elliptic: list[tuple[str, Curve, ec.EllipticCurvePrivateKey]] = [
            ("agree-1", "P-256", ec.generate_private_key(ec.SECP256R1())),
            ("agree-2", "P-256", ec.generate_private_key(ec.SECP256R1())),
            ("es256", "P-256", ec.generate_private_key(ec.SECP256R1())),
            ("es256k", "secp256k1", ec.generate_private_key(ec.SECP256K1())),
        ]
        self.secrets = {f"{self.did}#ed": self.keys.seed}
        methods = [VerificationMethod(f"{self.did}#ed", "Ed25519", self.keys.public)]
        for fragment, curve, private in elliptic:
            kid = f"{self.did}#{fragment}"
            self.secrets[kid] = private.private_numbers().private_value.to_bytes(32, "big")
            public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            methods.append(VerificationMethod(kid, curve, public))
        signing, agree_1, agree_2, *others = methods
        self.document = DidDocument(self.did, (signing, *others), (agree_1, agree_2))
        keys = tuple(AgreementKey(key.id, self.secrets[key.id], key.curve) for key in (agree_1, agree_2))
        self.author = Author(self.did, keys, signing.id, self.keys.sign)

    def known(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The document and the secrets as didcomm-node reads them."""
        methods = self.document.authentication + self.document.key_agreement
        forms = [{"id": key.id, "type": "JsonWebKey2020"} for key in methods]
        jwks = [to_jwk(key.curve, key.public) for key in methods]
        return {
            "id": self.did,
            "authentication": [key.id for key in self.document.authentication],
            "keyAgreement": [key.id for key in self.document.key_agreement],
            "verificationMethod": [
                {**form, "controller": self.did, "publicKeyJwk": jwk} for form, jwk in zip(forms, jwks, strict=True)
            ],
            "service": [],
        }, [
            {**form, "privateKeyJwk": {**jwk, "d": base64url(self.secrets[form["id"]])}}
            for form, jwk in zip(forms, jwks, strict=True)
        ]


ALICE, BOB = Agent("alice"), Agent("bob")


def resolve(did: Did) -> DidDocument:
    return {agent.did: agent.document for agent in (ALICE, BOB)}[did]


@pytest.fixture
def peer(didcomm_node: Any) -> Any:
    known = [agent.known() for agent in (ALICE, BOB)]
    secrets = [secret for _, secrets in known for secret in secrets]
    assert didcomm_node.ask("know", documents=[document for document, _ in known], secrets=secrets) == {}
    return didcomm_node


def message(**headers: Any) -> Message:
    return Message(
        id="1", type="https://example.org/1.0/note", body={"text": "Grüße"}, from_=ALICE.did, to=(BOB.did,), **headers
    )


def asked(peer: Any, op: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = peer.ask(op, **arguments)
    assert "error" not in answer, answer
    return answer


@pytest.mark.parametrize("form", ["authcrypt", "authcrypt-signed", "anoncrypt-authcrypt", "anoncrypt-signed"])
def test_it_reads_what_we_pack_on_p256(peer: Any, form: Form) -> None:
    packed = pack_private(message(), author=ALICE.author, recipient=BOB.document, entropy=os.urandom, form=form)
    answer = asked(peer, "unpack", packed=packed.decode())
    assert answer["message"] == json.loads(message().to_bytes())
    assert answer["metadata"]["authenticated"]
    assert answer["metadata"]["non_repudiation"] is form.endswith("signed")
    assert set(answer["metadata"]["encrypted_to_kids"]) == {key.kid for key in BOB.author.agreement}


@pytest.mark.parametrize("sender", [ALICE.did, None])
def test_we_read_what_it_packs_on_p256_with_either_key(peer: Any, sender: Did | None) -> None:
    plain = json.loads(message().to_bytes())
    packed = asked(peer, "encrypt", message=plain, to=BOB.did, **{"from": sender}, sign_by=None)["packed"]
    for key in BOB.author.agreement:
        unpacked = unpack(packed.encode(), keys=[key], resolve=resolve)
        assert (unpacked.sender, unpacked.recipient) == (sender, BOB.did)
        assert unpacked.message.body == message().body


@pytest.mark.parametrize("key", ["ed", "es256", "es256k"])
def test_we_read_its_signatures(peer: Any, key: str) -> None:
    signed = asked(peer, "sign", message=json.loads(message().to_bytes()), by=f"{ALICE.did}#{key}")["packed"]
    unpacked = verify_signed(signed.encode(), resolve=resolve)
    assert (unpacked.message, unpacked.signer) == (message(), ALICE.did)


def test_it_reads_our_rotation(peer: Any) -> None:
    rotating = message(from_prior=make_from_prior(old=BOB.author, new_did=ALICE.did, iat=NOW))
    packed = pack_private(rotating, author=ALICE.author, recipient=BOB.document, entropy=os.urandom)
    metadata = asked(peer, "unpack", packed=packed.decode())["metadata"]
    assert metadata["from_prior"] == {"iss": BOB.did, "sub": ALICE.did, "iat": NOW}
    assert metadata["from_prior_issuer_kid"] == BOB.author.signing_kid


@pytest.mark.parametrize("key", ["ed", "es256", "es256k"])
def test_we_read_its_rotation(peer: Any, key: str) -> None:
    claims = {"iss": BOB.did, "sub": ALICE.did, "iat": NOW}
    jwt = asked(peer, "rotate", claims=claims, by=f"{BOB.did}#{key}")["jwt"]
    found = FromPrior(BOB.did, ALICE.did, NOW)
    assert read_from_prior(jwt, resolve=resolve) == found
    plain = {**json.loads(message().to_bytes()), "from_prior": jwt}
    packed = asked(peer, "encrypt", message=plain, to=BOB.did, **{"from": ALICE.did}, sign_by=None)["packed"]
    unpacked = unpack(packed.encode(), keys=[BOB.author], resolve=resolve)
    assert rotation_of(unpacked, resolve=resolve, now_s=NOW) == found
