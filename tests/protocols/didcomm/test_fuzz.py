"""Whatever comes in, `unpack` and `verify_signed` give a message or a RemoteProtocolError."""

import contextlib
import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import Did, DidDocument, VerificationMethod, did_key, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import base64url, from_base64url
from protocols.didcomm import jwe, jws
from protocols.didcomm.agreement import public_of
from protocols.didcomm.author import AgreementKey, Author, author_of
from protocols.didcomm.envelope import pack_anoncrypt, pack_authcrypt, pack_signed, unpack, verify_signed
from protocols.errors import RemoteProtocolError
from protocols.message import Attachment, Message

ALICE, BOB = KeyPair(b"a" * 32), KeyPair(b"b" * 32)
ALICE_DOCUMENT, BOB_DOCUMENT = resolve_did_key(did_key(ALICE.public)), resolve_did_key(did_key(BOB.public))
MESSAGE = Message(
    id="m-1", type="https://example.org/1.0/note", body={"n": 1}, from_=ALICE_DOCUMENT.did, to=(BOB_DOCUMENT.did,)
)


def entropy(size: int) -> bytes:
    return bytes(range(1, size + 1))


WEB = Author(
    Did("did:web:bob.example"),
    tuple(AgreementKey(f"did:web:bob.example#{curve}", b"\x01" * 32, curve) for curve in ("P-256", "P-384", "P-521")),
    "did:web:bob.example#sign",
    BOB.sign,
)
WEB_DOCUMENTS = [
    DidDocument(WEB.did, (), (VerificationMethod(key.kid, key.curve, public_of(key.curve, key.secret)),))
    for key in WEB.agreement
]
PACKED = [
    pack_authcrypt(MESSAGE, sender=ALICE, recipients=[BOB_DOCUMENT], entropy=entropy),
    pack_authcrypt(MESSAGE, sender=ALICE, recipients=[BOB_DOCUMENT], entropy=entropy, sign=True, hide_sender=True),
    pack_anoncrypt(MESSAGE, recipients=[BOB_DOCUMENT], entropy=entropy),
    pack_signed(MESSAGE, signer=ALICE),
    *(
        pack_anoncrypt(replace(MESSAGE, to=(WEB.did,)), recipients=[document], entropy=entropy, signer=ALICE)
        for document in WEB_DOCUMENTS
    ),
    pack_authcrypt(
        replace(
            MESSAGE,
            attachments=(Attachment.of_json({"a": 1}), Attachment.of_base64(b"abc", filename="a")),
            please_ack=("",),
            ack=("m-0",),
            return_route="all",
            from_prior="e30.e30.AA",
        ),
        sender=ALICE,
        recipients=[BOB_DOCUMENT],
        entropy=entropy,
    ),
]
members = ["id", "type", "typ", "from", "to", "body", "payload", "signatures", "ciphertext", "protected"]
members += ["attachments", "data", "base64", "json", "links", "please_ack", "ack", "return_route"]
odd_values: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**64,
        1.5,
        "",
        "A",
        "AA",
        "!",
        "\ud7ff",
        "did:key:",
        "#",
        [],
        [[]],
        {},
        {"kid": 1},
        [{}],
        "é" * 50,
    ]
)


def read(data: bytes) -> Message | None:
    """The message, if there is one; the two readers never disagree about what is proven."""
    found = None
    with contextlib.suppress(RemoteProtocolError):
        found = unpack(data, keys=[BOB, WEB])
        assert found.message.from_ in (None, found.author)
    with contextlib.suppress(RemoteProtocolError):
        assert verify_signed(data) == found
    return found.message if found else None


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    assert read(data) is None


@given(st.sampled_from(PACKED), st.data())
def test_a_changed_bit_never_changes_the_message(packed: bytes, data: st.DataObject) -> None:
    changed = bytearray(packed)
    place = data.draw(st.integers(0, len(packed) * 8 - 1))
    changed[place // 8] ^= 1 << place % 8
    assert read(bytes(changed)) in (None, read(packed))


@given(st.sampled_from(PACKED), st.data())
def test_a_cut_or_repeated_piece(packed: bytes, data: st.DataObject) -> None:
    start, end = sorted((data.draw(st.integers(0, len(packed))), data.draw(st.integers(0, len(packed)))))
    piece = data.draw(st.sampled_from([b"", packed[start:end] * 2, b"\x00", b"{", b'"']))
    assert read(packed[:start] + piece + packed[end:]) in (None, read(packed))


@given(st.sampled_from(PACKED), odd_values, st.data())
def test_any_part_of_the_envelope_replaced(packed: bytes, value: Any, data: st.DataObject) -> None:
    envelope = json.loads(packed)
    _replace_somewhere(envelope, value, data)
    assert read(json.dumps(envelope).encode()) in (None, read(packed))


@given(st.sampled_from(PACKED), odd_values, st.data())
def test_any_part_of_the_protected_header_replaced(packed: bytes, value: Any, data: st.DataObject) -> None:
    envelope = json.loads(packed)
    holder = envelope["signatures"][0] if "signatures" in envelope else envelope
    header = json.loads(from_base64url(holder["protected"]))
    _replace_somewhere(header, value, data)
    holder["protected"] = base64url(json.dumps(header).encode())
    read(json.dumps(envelope).encode())


@settings(max_examples=40)
@given(
    st.binary(max_size=60)
    | st.recursive(
        odd_values,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(members),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_content_of_a_good_envelope(content: bytes) -> None:
    read(jws.sign(content, kid=ALICE_DOCUMENT.authentication[0].id, signer=ALICE))
    for sender in (None, author_of(ALICE).agreement[0]):
        read(
            jwe.encrypt(
                content,
                enc="A256CBC-HS512",
                sender=sender,
                recipients=BOB_DOCUMENT.key_agreement,
                entropy=entropy,
            )
        )


def _replace_somewhere(holder: Any, value: Any, data: st.DataObject) -> None:
    """Put `value` in the place of one part of a JSON value, at any depth."""
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            holder[key] = value
            return
        holder = holder[key]
