"""Encrypted envelopes: their headers and parts, and that nothing is done for other recipients."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from identity.curves import Curve, to_jwk
from identity.did import VerificationMethod
from identity.multibase import base64url, from_base64url
from protocols.didcomm import agreement, jwe
from protocols.didcomm.agreement import public_of
from protocols.didcomm.author import AgreementKey, author_of
from protocols.errors import (
    MalformedMessage,
    TooLarge,
    TooManyRecipients,
    Undecryptable,
    UnknownRecipient,
    UnresolvableKey,
    UnsupportedAlgorithm,
)
from protocols.limits import MAX_RECIPIENTS


def secret_on(curve: Curve) -> bytes:
    """A secret that is surely below the order of its curve."""
    size = {"P-384": 48, "P-521": 66}.get(curve, 32)
    return b"\x00" + os.urandom(size - 1)


PLAINTEXT = b'{"any": "bytes"}'
Bend = Callable[[bytes, Callable[[dict[str, Any]], object]], bytes]


def seal(to: Any, sender: Any = None) -> bytes:
    return jwe.encrypt(
        PLAINTEXT,
        enc="A256CBC-HS512",
        sender=author_of(sender.keys).agreement[0] if sender else None,
        recipients=to.document.key_agreement,
        entropy=os.urandom,
    )


def open_with(packed: bytes, to: Any, *senders: Any) -> jwe.Opened:
    public: dict[str, bytes] = {sender.kid: sender.document.key_agreement[0].public for sender in senders}

    def sender_key(kid: str, curve: Curve) -> bytes:
        if kid not in public:
            raise UnresolvableKey(kid)
        return public[kid]

    key = author_of(to.keys).agreement[0]
    return jwe.decrypt(json.loads(packed), keys={key.kid: key}, sender_key=sender_key)


def recipients(count: int, curve: Curve = "X25519") -> tuple[list[AgreementKey], list[VerificationMethod]]:
    keys = [AgreementKey(f"did:example:bob#{n}", secret_on(curve), curve) for n in range(count)]
    return keys, [VerificationMethod(key.kid, curve, public_of(curve, key.secret)) for key in keys]


def no_sender(kid: str, curve: Curve) -> bytes:
    raise AssertionError("anoncrypt has no sender")


def test_what_is_opened_names_its_keys(alice: Any, bob: Any) -> None:
    assert open_with(seal(bob), bob) == jwe.Opened(PLAINTEXT, bob.kid, None)
    assert open_with(seal(bob, alice), bob, alice) == jwe.Opened(PLAINTEXT, bob.kid, alice.kid)


def test_the_protected_header_is_that_of_the_specification(alice: Any, bob: Any) -> None:
    header = json.loads(from_base64url(json.loads(seal(bob, alice))["protected"]))
    assert set(header) == {"typ", "alg", "enc", "epk", "apv", "apu", "skid"}
    assert header["typ"] == "application/didcomm-encrypted+json"
    assert (header["alg"], header["enc"]) == ("ECDH-1PU+A256KW", "A256CBC-HS512")
    assert from_base64url(header["apu"]).decode() == header["skid"] == alice.kid
    assert set(header["epk"]) == {"kty", "crv", "x"}


def test_the_order_of_recipients_does_not_matter_to_apv() -> None:
    keys, methods = recipients(3)
    headers = []
    for order in (methods, methods[::-1]):
        packed = jwe.encrypt(PLAINTEXT, enc="XC20P", sender=None, recipients=order, entropy=os.urandom)
        headers.append(json.loads(from_base64url(json.loads(packed)["protected"])))
        opened = jwe.decrypt(json.loads(packed), keys={keys[1].kid: keys[1]}, sender_key=no_sender)
        assert opened.recipient_kid == keys[1].kid
    assert headers[0]["apv"] == headers[1]["apv"]


def test_other_recipients_cost_no_key_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, methods = recipients(MAX_RECIPIENTS)
    packed = json.loads(jwe.encrypt(PLAINTEXT, enc="XC20P", sender=None, recipients=methods, entropy=os.urandom))
    calls: list[bytes] = []
    agree = agreement.agree

    def counted(curve: Curve, secret: bytes, public: bytes) -> bytes:
        calls.append(public)
        return agree(curve, secret, public)

    monkeypatch.setattr(agreement, "agree", counted)
    last = keys[-1]
    assert jwe.decrypt(packed, keys={last.kid: last}, sender_key=no_sender).plaintext == PLAINTEXT
    assert len(calls) == 1
    stranger = AgreementKey("did:example:carol#1", os.urandom(32))
    with pytest.raises(UnknownRecipient):
        jwe.decrypt(packed, keys={stranger.kid: stranger}, sender_key=no_sender)
    assert len(calls) == 1


def test_too_many_recipients_are_refused() -> None:
    keys, methods = recipients(MAX_RECIPIENTS + 1)
    packed = jwe.encrypt(PLAINTEXT, enc="XC20P", sender=None, recipients=methods, entropy=os.urandom)
    with pytest.raises(TooManyRecipients):
        jwe.decrypt(json.loads(packed), keys={keys[0].kid: keys[0]}, sender_key=no_sender)


def test_our_key_id_with_another_key_does_not_open(alice: Any, bob: Any) -> None:
    impostor = AgreementKey(bob.kid, os.urandom(32))
    for packed in (seal(bob), seal(bob, alice)):
        with pytest.raises(Undecryptable):
            jwe.decrypt(
                json.loads(packed),
                keys={impostor.kid: impostor},
                sender_key=lambda kid, curve: alice.document.key_agreement[0].public,
            )


def test_an_ephemeral_key_of_low_order_is_refused(bob: Any, bend_header: Bend) -> None:
    packed = bend_header(seal(bob), lambda header: header["epk"].update(x=base64url(bytes(32))))
    with pytest.raises(Undecryptable):
        open_with(packed, bob)


def test_an_authcrypt_turned_into_an_anoncrypt_does_not_open(alice: Any, bob: Any, bend_header: Bend) -> None:
    packed = bend_header(seal(bob, alice), lambda header: header.update(alg="ECDH-ES+A256KW"))
    with pytest.raises(Undecryptable):
        open_with(packed, bob)


def test_skid_may_be_missing_where_apu_is_there(alice: Any, bob: Any, bend_header: Bend) -> None:
    packed = bend_header(seal(bob, alice), lambda header: header.pop("skid"))
    # The header is authenticated, so the change shows; but only after the sender was found by `apu`.
    with pytest.raises(Undecryptable):
        open_with(packed, bob, alice)
    with pytest.raises(UnresolvableKey):
        open_with(packed, bob)


@pytest.mark.parametrize("twice", ['"alg":"none","alg":"ECDH-ES+A256KW"', '"epk" :{"x":1,"x":1}', '"n":1e999,"n":2'])
def test_a_name_that_stands_twice_in_the_protected_header_is_refused(bob: Any, bend: Bend, twice: str) -> None:
    def repeat(envelope: dict[str, Any]) -> None:
        header = from_base64url(envelope["protected"]).decode()
        envelope["protected"] = base64url(header.replace("{", "{" + twice + ",", 1).encode())

    with pytest.raises(MalformedMessage):
        open_with(bend(seal(bob), repeat), bob)


@pytest.mark.parametrize("kind", ["authcrypt", "anoncrypt"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda h: h.pop("alg"), UnsupportedAlgorithm),
        (lambda h: h.update(alg="none"), UnsupportedAlgorithm),
        (lambda h: h.update(alg="A256KW"), UnsupportedAlgorithm),
        (lambda h: h.update(alg=["ECDH-ES+A256KW"]), UnsupportedAlgorithm),
        (lambda h: h.pop("enc"), UnsupportedAlgorithm),
        (lambda h: h.update(enc="A128CBC-HS256"), UnsupportedAlgorithm),
        (lambda h: h.update(enc={}), UnsupportedAlgorithm),
        (lambda h: h.update(crit=["exp"]), UnsupportedAlgorithm),
        (lambda h: h.update(zip="DEF"), UnsupportedAlgorithm),
        (lambda h: h.update(alg="ECDH-1PU+A256KW", enc="A256GCM"), UnsupportedAlgorithm),
        (lambda h: h.update(alg="ECDH-1PU+A256KW", enc="XC20P"), UnsupportedAlgorithm),
        (lambda h: h.pop("epk"), MalformedMessage),
        (lambda h: h["epk"].update(crv="X448"), UnsupportedAlgorithm),
        (lambda h: h.update(epk=to_jwk("P-256", public_of("P-256", bytes(31) + b"\x01"))), MalformedMessage),
        (lambda h: h.pop("apv"), MalformedMessage),
        (lambda h: h.update(apv="AAAA"), MalformedMessage),
        (lambda h: h.update(apv="A" * 43), MalformedMessage),
        (lambda h: h.update(typ="application/didcomm-signed+json"), MalformedMessage),
        (lambda h: h.update(typ=7), MalformedMessage),
        (lambda h: h.update(kid="did:example:bob#1"), MalformedMessage),
        (lambda h: h.update(apu="!"), MalformedMessage),
        (lambda h: h.update(alg="ECDH-1PU+A256KW", enc="A256CBC-HS512", apu="_w"), MalformedMessage),
        (lambda h: h.update(alg="ECDH-1PU+A256KW", enc="A256CBC-HS512", apu=""), MalformedMessage),
        (
            lambda h: h.update(alg="ECDH-1PU+A256KW", enc="A256CBC-HS512", apu="ZGlk", skid="did:example:x#1"),
            MalformedMessage,
        ),
        (lambda h: h.update(x="x" * 9000), TooLarge),
    ],
)
def test_a_wrong_header_of_an_encrypted_message(
    alice: Any,
    bob: Any,
    bend_header: Bend,
    kind: str,
    change: Callable[[dict[str, Any]], object],
    error: type[Exception],
) -> None:
    packed = seal(bob, alice if kind == "authcrypt" else None)
    with pytest.raises(error):
        open_with(bend_header(packed, change), bob)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda e: e.update(aad="AA"), UnsupportedAlgorithm),
        (lambda e: e.update(unprotected={"enc": "A256GCM"}), MalformedMessage),
        (lambda e: e.update(unprotected={"kid": "did:example:x#1"}), MalformedMessage),
        (lambda e: e.update(unprotected=[]), MalformedMessage),
        (lambda e: e["recipients"][0]["header"].update(alg="ECDH-ES+A256KW"), MalformedMessage),
        (lambda e: e["recipients"][0]["header"].pop("kid"), MalformedMessage),
        (lambda e: e["recipients"][0]["header"].update(kid=1), MalformedMessage),
        (lambda e: e["recipients"][0].pop("header"), MalformedMessage),
        (lambda e: e["recipients"][0].pop("encrypted_key"), MalformedMessage),
        (lambda e: e["recipients"][0].update(encrypted_key="AAAA"), MalformedMessage),
        (
            lambda e: e["recipients"].append({"header": {"kid": "did:example:x#1"}, "encrypted_key": "AA"}),
            MalformedMessage,
        ),
        (lambda e: e["recipients"].append(None), MalformedMessage),
        (lambda e: e.update(recipients=[]), MalformedMessage),
        (lambda e: e.update(recipients={}), MalformedMessage),
        (lambda e: e.pop("recipients"), MalformedMessage),
        (lambda e: e.pop("protected"), MalformedMessage),
        (lambda e: e.update(protected="W10"), MalformedMessage),
        (lambda e: e.update(protected="e30="), MalformedMessage),
        (lambda e: e.update(protected="é"), MalformedMessage),
        (lambda e: e.update(tag=e["tag"][:8]), MalformedMessage),
        (lambda e: e.update(iv=e["iv"] + "AA"), MalformedMessage),
        (lambda e: e.update(ciphertext=None), MalformedMessage),
        (lambda e: e.pop("tag"), MalformedMessage),
    ],
)
def test_a_wrong_part_of_an_encrypted_message(
    alice: Any,
    bob: Any,
    bend: Bend,
    change: Callable[[dict[str, Any]], object],
    error: type[Exception],
) -> None:
    packed = seal(bob, alice)
    with pytest.raises(error):
        open_with(bend(packed, change), bob)


CURVES: tuple[Curve, ...] = ("X25519", "P-256", "P-384", "P-521")


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("count", [1, 3, 10, MAX_RECIPIENTS])
@pytest.mark.parametrize("authcrypt", [False, True], ids=["anoncrypt", "authcrypt"])
def test_each_of_several_keys_on_every_curve_opens(curve: Curve, count: int, authcrypt: bool) -> None:
    keys, methods = recipients(count, curve)
    (sender,), (known,) = recipients(1, curve)
    packed = jwe.encrypt(
        PLAINTEXT,
        enc="A256CBC-HS512",
        sender=sender if authcrypt else None,
        recipients=methods,
        entropy=os.urandom,
    )
    for key in {keys[0].kid: keys[0], keys[-1].kid: keys[-1]}.values():
        opened = jwe.decrypt(json.loads(packed), keys={key.kid: key}, sender_key=lambda kid, curve: known.public)
        assert opened == jwe.Opened(PLAINTEXT, key.kid, sender.kid if authcrypt else None)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda epk: epk.update(y=epk["x"]), Undecryptable),
        (lambda epk: epk.update(x="A" * len(epk["x"]), y="A" * len(epk["y"])), Undecryptable),
        (lambda epk: epk.pop("y"), MalformedMessage),
        (lambda epk: epk.update(x=epk["x"][:-4]), MalformedMessage),
        (lambda epk: epk.update(x="AAAA" + epk["x"]), MalformedMessage),
        (lambda epk: epk.update(kty="OKP"), UnsupportedAlgorithm),
        (lambda epk: epk.update(crv="secp256k1"), UnsupportedAlgorithm),
        (lambda epk: epk.update(crv="X25519", kty="OKP", x="A" * 43), MalformedMessage),
    ],
)
def test_an_ephemeral_key_that_is_no_point_of_its_curve(
    bend_header: Bend, curve: Curve, change: Callable[[dict[str, Any]], object], error: type[Exception]
) -> None:
    (key,), methods = recipients(1, curve)
    packed = jwe.encrypt(PLAINTEXT, enc="XC20P", sender=None, recipients=methods, entropy=os.urandom)
    bent = bend_header(packed, lambda header: change(header["epk"]))
    with pytest.raises(error):
        jwe.decrypt(json.loads(bent), keys={key.kid: key}, sender_key=no_sender)
