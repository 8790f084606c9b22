"""Who says what to whom: the rules that tie envelopes to messages."""

import json
import os
from dataclasses import replace
from typing import Any, get_args

import pytest

from identity.curves import Curve
from identity.did import Did, DidDocument, VerificationMethod, resolve_did_key
from identity.errors import MalformedDid, NotResolvedYet
from identity.multibase import from_base64url
from protocols.didcomm import jwe, jws
from protocols.didcomm.agreement import public_of
from protocols.didcomm.author import AgreementKey, Author, author_of
from protocols.didcomm.content import Enc
from protocols.didcomm.envelope import (
    Form,
    Resolve,
    pack_anoncrypt,
    pack_authcrypt,
    pack_private,
    pack_signed,
    unpack,
    verify_signed,
)
from protocols.errors import (
    LocalProtocolError,
    MalformedMessage,
    MessageTooLarge,
    SenderMismatch,
    TooDeep,
    TooLarge,
    Undecryptable,
    UnknownRecipient,
    UnresolvableKey,
    UnusableRecipient,
)
from protocols.limits import MAX_DIDCOMM_BYTES, MAX_GOSSIP_BYTES
from protocols.message import Message

ENCS: tuple[Enc, ...] = ("XC20P", "A256GCM", "A256CBC-HS512")


@pytest.fixture
def message(alice: Any, bob: Any) -> Message:
    return Message(id="m-1", type="https://example.org/1.0/note", body={"n": 1}, from_=alice.did, to=(bob.did,))


def sealed(plaintext: bytes, to: Any, sender: Any = None) -> bytes:
    """An envelope around any bytes, with none of `pack_…`'s checks."""
    return jwe.encrypt(
        plaintext,
        enc="A256CBC-HS512",
        sender=author_of(sender.keys).agreement[0] if sender else None,
        recipients=to.document.key_agreement,
        entropy=os.urandom,
    )


def signed(message: Message, signer: Any) -> bytes:
    return jws.sign(message.to_bytes(), kid=signer.signs_as, signer=signer.keys)


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("hide_sender", [False, True])
def test_authcrypt_proves_the_sender(message: Message, alice: Any, bob: Any, sign: bool, hide_sender: bool) -> None:
    packed = pack_authcrypt(
        message, sender=alice.keys, recipients=[bob.document], entropy=os.urandom, sign=sign, hide_sender=hide_sender
    )
    unpacked = unpack(packed, keys=[bob.keys])
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer) == (alice.did, alice.did if sign else None)
    assert (unpacked.encrypted, unpacked.anonymous, unpacked.author) == (True, hide_sender, alice.did)
    header = from_base64url(json.loads(packed)["protected"])
    assert (alice.did.encode() in header) is not hide_sender


@pytest.mark.parametrize("enc", ENCS)
def test_anoncrypt_proves_nobody(message: Message, bob: Any, enc: Enc) -> None:
    packed = pack_anoncrypt(message, recipients=[bob.document], entropy=os.urandom, enc=enc)
    unpacked = unpack(packed, keys=[bob.keys])
    assert (unpacked.sender, unpacked.signer, unpacked.author) == (None, None, None)
    assert (unpacked.encrypted, unpacked.anonymous) == (True, True)
    # What `from` claims is not handed on.
    assert unpacked.message == replace(message, from_=None)


def test_signed_inside_anoncrypt_proves_the_signer(message: Message, alice: Any, bob: Any) -> None:
    packed = pack_anoncrypt(message, recipients=[bob.document], entropy=os.urandom, signer=alice.keys)
    unpacked = unpack(packed, keys=[bob.keys])
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer, unpacked.author) == (None, alice.did, alice.did)


def test_signed_proves_the_signer_to_everybody(message: Message, alice: Any) -> None:
    packed = pack_signed(message, signer=alice.keys)
    for unpacked in (verify_signed(packed), unpack(packed, keys=[])):
        assert unpacked.message == message
        assert (unpacked.encrypted, unpacked.sender, unpacked.signer) == (False, None, alice.did)


def test_the_entropy_decides_every_bit(message: Message, alice: Any, bob: Any) -> None:
    def packed(seed: int) -> bytes:
        return pack_authcrypt(
            message, sender=alice.keys, recipients=[bob.document], entropy=lambda size: bytes((seed,)) * size
        )

    assert packed(1) == packed(1)
    assert packed(1) != packed(2)


def test_each_of_our_keys_is_tried(message: Message, alice: Any, bob: Any, mallory: Any) -> None:
    packed = pack_authcrypt(message, sender=alice.keys, recipients=[bob.document], entropy=os.urandom)
    assert unpack(packed, keys=[mallory.keys, bob.keys]).message == message


def test_a_document_with_several_keys_is_served_with_all(message: Message, alice: Any) -> None:
    keys = [AgreementKey(f"did:example:bob#{n}", os.urandom(32)) for n in range(5)]
    methods = tuple(VerificationMethod(key.kid, "X25519", public_of("X25519", key.secret)) for key in keys)
    other = VerificationMethod("did:example:bob#p", "P-256", public_of("P-256", b"\x01"))
    bob = DidDocument(Did("did:example:bob"), (), (other, *methods))
    message = replace(message, to=(bob.did,))
    packed = pack_authcrypt(message, sender=alice.keys, recipients=[bob], entropy=os.urandom)
    for key in keys:
        assert unpack(packed, keys=[key]).message == message


# Keys on several curves, and authors that are no did:key

CURVES: tuple[Curve, ...] = ("X25519", "P-256", "P-384", "P-521")
FORMS: tuple[Form, ...] = get_args(Form)


def agent(name: str, signer: Any, *curves: Curve) -> tuple[Author, DidDocument]:
    """An author with one key on each of `curves`, in this order, and its document."""
    did = Did(f"did:example:{name}")
    sizes = {"P-384": 48, "P-521": 66}
    keys = tuple(
        AgreementKey(f"{did}#{curve}", b"\x00" + os.urandom(sizes.get(curve, 32) - 1), curve) for curve in curves
    )
    methods = tuple(VerificationMethod(key.kid, key.curve, public_of(key.curve, key.secret)) for key in keys)
    signing = VerificationMethod(f"{did}#sign", "Ed25519", signer.keys.public)
    return Author(did, keys, signing.id, signer.keys.sign), DidDocument(did, (signing,), methods)


def resolver(*documents: DidDocument) -> Resolve:
    known = {document.did: document for document in documents}
    return lambda did: known[did]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("curve", CURVES)
def test_every_form_on_every_curve(alice: Any, bob: Any, form: Form, curve: Curve) -> None:
    author, document = agent("alice", alice, curve)
    reader, recipient = agent("bob", bob, curve)
    message = Message(id="1", type="t", from_=author.did, to=(reader.did,))
    packed = pack_private(message, author=author, recipient=recipient, entropy=os.urandom, form=form)
    unpacked = unpack(packed, keys=[reader], resolve=resolver(document))
    assert unpacked.author == (None if form == "anoncrypt" else author.did)
    assert unpacked.recipient == reader.did
    assert (unpacked.sender is not None) is ("authcrypt" in form)
    assert (unpacked.signer is not None) is form.endswith("signed")
    assert unpacked.anonymous is form.startswith("anoncrypt")


@pytest.mark.parametrize(
    ("ours", "theirs", "used"),
    [
        (["X25519"], ["P-521", "X25519", "P-256"], "X25519"),
        (["X25519", "P-256"], ["P-256", "X25519"], "P-256"),
        (["P-384", "P-521"], ["X25519", "P-521", "P-384"], "P-521"),
    ],
)
def test_authcrypt_is_on_the_recipients_first_curve_that_both_have(
    alice: Any, bob: Any, ours: list[Curve], theirs: list[Curve], used: Curve
) -> None:
    author, document = agent("alice", alice, *ours)
    reader, recipient = agent("bob", bob, *theirs)
    message = Message(id="1", type="t", from_=author.did, to=(reader.did,))
    packed = json.loads(pack_authcrypt(message, sender=author, recipients=[recipient], entropy=os.urandom))
    header = json.loads(from_base64url(packed["protected"]))
    assert header["skid"] == f"{author.did}#{used}"
    assert [entry["header"]["kid"] for entry in packed["recipients"]] == [f"{reader.did}#{used}"]
    assert unpack(json.dumps(packed).encode(), keys=[reader], resolve=resolver(document)).sender == author.did


@pytest.mark.parametrize("form", [form for form in FORMS if "authcrypt" in form])
def test_without_a_common_curve_the_signature_proves_the_author(alice: Any, bob: Any, form: Form) -> None:
    author, document = agent("alice", alice, "X25519")
    reader, recipient = agent("bob", bob, "P-384", "P-256")
    message = Message(id="1", type="t", from_=author.did, to=(reader.did,))
    unpacked = unpack(
        pack_private(message, author=author, recipient=recipient, entropy=os.urandom, form=form),
        keys=[reader],
        resolve=resolver(document),
    )
    assert (unpacked.message, unpacked.author, unpacked.sender) == (message, author.did, None)
    with pytest.raises(UnusableRecipient):
        pack_authcrypt(message, sender=author, recipients=[recipient], entropy=os.urandom)


@pytest.mark.parametrize("form", FORMS)
def test_a_recipient_without_a_key_cannot_be_served_in_any_form(alice: Any, bob: Any, form: Form) -> None:
    author, _ = agent("alice", alice, "X25519")
    reader, recipient = agent("bob", bob)
    message = Message(id="1", type="t", from_=author.did, to=(reader.did,))
    with pytest.raises(UnusableRecipient):
        pack_private(message, author=author, recipient=recipient, entropy=os.urandom, form=form)


def test_one_of_our_aliases_is_written_to(message: Message, alice: Any, bob: Any) -> None:
    alias = AgreementKey("did:web:bob.example#1", bob.keys.agreement_secret)
    document = DidDocument(
        alias.did, (), (VerificationMethod(alias.kid, "X25519", bob.document.key_agreement[0].public),)
    )
    written = replace(message, to=(alias.did,))
    packed = pack_authcrypt(written, sender=alice.keys, recipients=[document], entropy=os.urandom)
    assert unpack(packed, keys=[bob.keys, alias]).recipient == alias.did
    assert verify_signed(pack_signed(message, signer=alice.keys)).recipient is None


def test_a_sender_that_is_not_resolved_yet_reaches_the_caller(message: Message, alice: Any, bob: Any) -> None:
    def nothing_at_hand(did: Did) -> DidDocument:
        raise NotResolvedYet(did)

    encrypted = pack_authcrypt(message, sender=alice.keys, recipients=[bob.document], entropy=os.urandom)
    for packed in (encrypted, pack_signed(message, signer=alice.keys)):
        with pytest.raises(NotResolvedYet) as raised:
            unpack(packed, keys=[bob.keys], resolve=nothing_at_hand)
        assert raised.value.did == alice.did


# What a lying sender may try


def test_another_from_than_the_encrypting_key(message: Message, bob: Any, mallory: Any) -> None:
    with pytest.raises(SenderMismatch):
        unpack(sealed(message.to_bytes(), to=bob, sender=mallory), keys=[bob.keys])


def test_no_from_in_authcrypt(message: Message, alice: Any, bob: Any) -> None:
    data = replace(message, from_=None).to_bytes()
    with pytest.raises(SenderMismatch):
        unpack(sealed(data, to=bob, sender=alice), keys=[bob.keys])


def test_another_from_than_the_signer(message: Message, mallory: Any) -> None:
    with pytest.raises(SenderMismatch):
        verify_signed(signed(message, mallory))
    with pytest.raises(SenderMismatch):
        verify_signed(signed(replace(message, from_=None), mallory))


def test_the_signature_of_one_inside_the_authcrypt_of_another(
    message: Message, alice: Any, bob: Any, mallory: Any
) -> None:
    with pytest.raises(SenderMismatch):
        unpack(sealed(signed(message, alice), to=bob, sender=mallory), keys=[bob.keys])
    forged = replace(message, from_=mallory.did)
    with pytest.raises(SenderMismatch):
        unpack(sealed(signed(forged, alice), to=bob, sender=mallory), keys=[bob.keys])


def test_a_signed_message_passed_on_to_somebody_else(message: Message, alice: Any, bob: Any, mallory: Any) -> None:
    # Bob got it from Alice and encrypts it anew for Mallory, as if Alice had written to her.
    with pytest.raises(SenderMismatch):
        unpack(sealed(signed(message, alice), to=mallory), keys=[mallory.keys])


def test_a_public_message_passed_on_as_a_private_one(message: Message, alice: Any, bob: Any) -> None:
    public = replace(message, to=())
    assert verify_signed(signed(public, alice)).message == public
    with pytest.raises(SenderMismatch):
        unpack(sealed(signed(public, alice), to=bob), keys=[bob.keys])


def test_a_to_without_us(message: Message, alice: Any, bob: Any, mallory: Any) -> None:
    data = replace(message, to=(mallory.did,)).to_bytes()
    for sender in (alice, None):
        with pytest.raises(SenderMismatch):
            unpack(sealed(data, to=bob, sender=sender), keys=[bob.keys])


def test_no_to_at_all_is_fine_where_nothing_is_signed(message: Message, alice: Any, bob: Any) -> None:
    nameless = replace(message, to=())
    assert unpack(sealed(nameless.to_bytes(), to=bob, sender=alice), keys=[bob.keys]).message == nameless


@pytest.mark.parametrize("envelopes", ["aa", "ua", "uu", "su", "sa", "ss", "aua", "aaaa", "aaaaaaaa", "sua", ""])
def test_envelopes_in_another_order(message: Message, alice: Any, bob: Any, envelopes: str) -> None:
    # From the inside out: a is anoncrypt, u authcrypt, s signed.
    allowed = {"a", "u", "s", "sa", "su", "ua", "sua"}
    data = message.to_bytes()
    for envelope in envelopes:
        if envelope == "s":
            data = jws.sign(data, kid=alice.signs_as, signer=alice.keys)
        else:
            data = sealed(data, to=bob, sender=alice if envelope == "u" else None)
    if envelopes in allowed:
        assert unpack(data, keys=[bob.keys]).message == message
    else:
        with pytest.raises(TooDeep if envelopes else MalformedMessage):
            unpack(data, keys=[bob.keys])


def test_a_signature_around_an_encrypted_message(message: Message, alice: Any, bob: Any) -> None:
    inner = sealed(message.to_bytes(), to=bob, sender=alice)
    with pytest.raises(TooDeep):
        unpack(jws.sign(inner, kid=alice.signs_as, signer=alice.keys), keys=[bob.keys])


def test_somebody_elses_mail(message: Message, alice: Any, bob: Any, mallory: Any) -> None:
    packed = pack_authcrypt(message, sender=alice.keys, recipients=[bob.document], entropy=os.urandom)
    for keys in ([mallory.keys], []):
        with pytest.raises(UnknownRecipient):
            unpack(packed, keys=keys)


def test_a_signing_key_does_not_encrypt_and_the_other_way_round(message: Message, alice: Any, bob: Any) -> None:
    as_signer = AgreementKey(alice.signs_as, alice.keys.agreement_secret)
    data = jwe.encrypt(
        message.to_bytes(),
        enc="A256CBC-HS512",
        sender=as_signer,
        recipients=bob.document.key_agreement,
        entropy=os.urandom,
    )
    with pytest.raises(UnresolvableKey):
        unpack(data, keys=[bob.keys])
    with pytest.raises(UnresolvableKey):
        verify_signed(jws.sign(message.to_bytes(), kid=alice.kid, signer=alice.keys))


@pytest.mark.parametrize("kid", ["did:example:nobody#1", "nobody", "did:key:z6Mk#z6Mk", "#", "did:key:"])
def test_a_sender_that_does_not_resolve(message: Message, alice: Any, bob: Any, kid: str) -> None:
    with pytest.raises(UnresolvableKey):
        verify_signed(jws.sign(message.to_bytes(), kid=kid, signer=alice.keys))
    data = jwe.encrypt(
        message.to_bytes(),
        enc="A256CBC-HS512",
        sender=AgreementKey(kid, alice.keys.agreement_secret),
        recipients=bob.document.key_agreement,
        entropy=os.urandom,
    )
    with pytest.raises(UnresolvableKey):
        unpack(data, keys=[bob.keys])


def test_a_signature_with_a_key_of_another_curve(message: Message, alice: Any) -> None:
    def mislabelled(did: Did) -> DidDocument:
        document = resolve_did_key(did)
        return replace(document, authentication=tuple(replace(m, curve="P-256") for m in document.authentication))

    with pytest.raises(UnresolvableKey):
        verify_signed(pack_signed(message, signer=alice.keys), resolve=mislabelled)


def test_an_envelope_that_is_both_signed_and_encrypted(message: Message, alice: Any, bob: Any) -> None:
    both = json.loads(pack_signed(message, signer=alice.keys)) | {"ciphertext": "AAAA"}
    data = json.dumps(both).encode()
    with pytest.raises(MalformedMessage):
        verify_signed(data)
    with pytest.raises(MalformedMessage):
        unpack(data, keys=[bob.keys])


def test_what_the_resolver_says_counts(message: Message, alice: Any) -> None:
    def nobody(did: Did) -> DidDocument:
        raise MalformedDid(did)

    def without_keys(did: Did) -> DidDocument:
        return DidDocument(did, (), ())

    packed = pack_signed(message, signer=alice.keys)
    for resolve in (nobody, without_keys):
        with pytest.raises(UnresolvableKey):
            verify_signed(packed, resolve=resolve)


def test_a_sender_key_of_low_order(message: Message, alice: Any, bob: Any) -> None:
    def weak(did: Did) -> DidDocument:
        document = resolve_did_key(did)
        return replace(document, key_agreement=tuple(replace(m, public=bytes(32)) for m in document.key_agreement))

    packed = pack_authcrypt(message, sender=alice.keys, recipients=[bob.document], entropy=os.urandom)
    with pytest.raises(Undecryptable):
        unpack(packed, keys=[bob.keys], resolve=weak)


def test_only_a_signed_message_is_gossip(message: Message, alice: Any, bob: Any) -> None:
    encrypted = pack_authcrypt(message, sender=alice.keys, recipients=[bob.document], entropy=os.urandom)
    for data in (
        encrypted,
        message.to_bytes(),
        b"{}",
        b"[]",
        jws.sign(encrypted, kid=alice.signs_as, signer=alice.keys),
    ):
        with pytest.raises(MalformedMessage):
            verify_signed(data)


def test_a_plaintext_with_the_names_of_envelopes_is_no_envelope(message: Message, alice: Any, bob: Any) -> None:
    data = message.to_bytes().replace(b'"body"', b'"payload":"custom header","body"', 1)
    assert unpack(sealed(data, to=bob, sender=alice), keys=[bob.keys]).message == message


def test_sizes_are_bounded(message: Message, alice: Any, bob: Any) -> None:
    with pytest.raises(TooLarge):
        unpack(b" " * (MAX_DIDCOMM_BYTES + 1), keys=[bob.keys])
    large = replace(message, body={"text": "x" * MAX_GOSSIP_BYTES})
    packed = pack_signed(large, signer=alice.keys)
    assert unpack(packed, keys=[]).message == large
    with pytest.raises(TooLarge):
        verify_signed(packed)


def test_a_plaintext_over_its_bound_inside_an_envelope_within_it(alice: Any, bob: Any) -> None:
    plaintext = b'{"id":"1","type":"t","from":"%s","x":"%s"}' % (alice.did.encode(), b"x" * 600_000)
    with pytest.raises(TooLarge):
        unpack(sealed(plaintext, to=bob, sender=alice), keys=[bob.keys])


# What our own callers may get wrong


def test_a_caller_that_is_not_the_sender(message: Message, bob: Any, mallory: Any) -> None:
    with pytest.raises(LocalProtocolError):
        pack_authcrypt(message, sender=mallory.keys, recipients=[bob.document], entropy=os.urandom)
    with pytest.raises(LocalProtocolError):
        pack_signed(message, signer=mallory.keys)
    with pytest.raises(LocalProtocolError):
        pack_anoncrypt(message, recipients=[bob.document], entropy=os.urandom, signer=mallory.keys)


def test_a_caller_that_names_another_recipient(message: Message, alice: Any, mallory: Any) -> None:
    with pytest.raises(LocalProtocolError):
        pack_authcrypt(message, sender=alice.keys, recipients=[mallory.document], entropy=os.urandom)
    with pytest.raises(LocalProtocolError):
        pack_anoncrypt(message, recipients=[mallory.document], entropy=os.urandom)


def test_a_caller_that_signs_for_nobody(message: Message, alice: Any, bob: Any) -> None:
    nameless = replace(message, to=())
    with pytest.raises(LocalProtocolError):
        pack_authcrypt(nameless, sender=alice.keys, recipients=[bob.document], entropy=os.urandom, sign=True)
    with pytest.raises(LocalProtocolError):
        pack_anoncrypt(nameless, recipients=[bob.document], entropy=os.urandom, signer=alice.keys)


def test_recipients_that_cannot_be_served(message: Message, alice: Any, bob: Any) -> None:
    keyless = replace(bob.document, key_agreement=())
    crowded = replace(bob.document, key_agreement=bob.document.key_agreement * 65)
    for recipients in ([], [bob.document, bob.document], [keyless], [crowded]):
        with pytest.raises(UnusableRecipient):
            pack_authcrypt(message, sender=alice.keys, recipients=recipients, entropy=os.urandom)


def test_a_message_that_grows_too_large(message: Message, alice: Any, bob: Any) -> None:
    large = replace(message, body={"text": "x" * 500_000})
    packed = pack_authcrypt(large, sender=alice.keys, recipients=[bob.document], entropy=os.urandom, sign=True)
    assert unpack(packed, keys=[bob.keys]).message == large
    with pytest.raises(MessageTooLarge):
        pack_authcrypt(
            large, sender=alice.keys, recipients=[bob.document], entropy=os.urandom, sign=True, hide_sender=True
        )
