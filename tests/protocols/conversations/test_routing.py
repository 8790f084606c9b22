"""Forwards: real envelopes through up to four mediators, and the shapes that others write."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import DidDocument, VerificationMethod, did_key, resolve_did_key
from identity.keys import KeyPair
from protocols import limits
from protocols.attachment import Attachment
from protocols.conversations.routing import FORWARD, read_forward, wrap
from protocols.didcomm.envelope import pack_authcrypt, unpack
from protocols.errors import (
    LocalProtocolError,
    MalformedMessage,
    MessageTooLarge,
    RemoteProtocolError,
    TooLarge,
    UnusableRecipient,
)
from protocols.message import Message

PACKED = b'{"ciphertext":"x","protected":"y"}'
HOPS = [KeyPair(bytes((seed,)) * 32) for seed in (11, 12, 13, 14)]


def document(keys: KeyPair) -> DidDocument:
    return resolve_did_key(did_key(keys.public))


@pytest.fixture
def entropy() -> Callable[[int], bytes]:
    """Different at each call, the same in each run."""
    calls = iter(range(1, 1000))
    return lambda size: next(calls).to_bytes(4) * (size // 4)


def test_each_mediator_sees_the_next_one_and_no_author(
    ada: KeyPair, bela: KeyPair, entropy: Callable[[int], bytes]
) -> None:
    author, recipient = did_key(ada.public), document(bela)
    message = Message(id="1", type="https://x.example/1.0/x", from_=author, to=(recipient.did,), body={"secret": 7})
    packed = pack_authcrypt(message, sender=ada, recipients=(recipient,), entropy=entropy)
    documents = [document(hop) for hop in HOPS]
    wrapped = wrap(packed, next_did=recipient.did, routing=documents, entropy=entropy, expires_time=99)
    for hop, following in zip(HOPS, [*(other.did for other in documents[1:]), recipient.did], strict=True):
        opened = unpack(wrapped, keys=(hop,))
        assert (opened.author, opened.message.from_, opened.message.expires_time) == (None, None, 99)
        assert opened.message.please_ack == ()
        target, wrapped = read_forward(opened.message)
        assert target == following
    arrived = unpack(wrapped, keys=(bela,))
    assert (arrived.author, arrived.message.body) == (author, {"secret": 7})


def test_a_routing_key_is_found_by_its_did(bela: KeyPair, entropy: Callable[[int], bytes]) -> None:
    mediator = document(HOPS[0])
    for key in (mediator.did, mediator.key_agreement[0].id):
        wrapped = wrap(PACKED, next_did=document(bela).did, routing=[key, mediator], entropy=entropy)
        outer = read_forward(unpack(wrapped, keys=(HOPS[0],)).message)
        assert outer[0] == mediator.did
        assert read_forward(unpack(outer[1], keys=(HOPS[0],)).message)[0] == document(bela).did


def test_a_named_key_is_the_only_one_that_can_open(bela: KeyPair, entropy: Callable[[int], bytes]) -> None:
    one, other = document(HOPS[0]), document(HOPS[1])
    did = one.did
    moved = VerificationMethod(f"{did}#second", "X25519", other.key_agreement[0].public)
    both = replace(one, key_agreement=(*one.key_agreement, moved))
    wrapped = wrap(
        PACKED, next_did=document(bela).did, routing=[one.key_agreement[0].id], entropy=entropy, resolve=lambda _: both
    )
    recipients = json.loads(wrapped)["recipients"]
    assert [recipient["header"]["kid"] for recipient in recipients] == [one.key_agreement[0].id]


def test_without_mediators_nothing_is_wrapped(entropy: Callable[[int], bytes]) -> None:
    assert wrap(PACKED, next_did="did:example:b", routing=[], entropy=entropy) == PACKED


def test_a_way_that_is_too_long_or_unknown(bela: KeyPair, entropy: Callable[[int], bytes]) -> None:
    did = document(bela).did
    with pytest.raises(UnusableRecipient):
        wrap(PACKED, next_did=did, routing=[did] * (limits.MAX_HOPS + 1), entropy=entropy)
    for key in ("somebody", f"{did}#no-such-key"):
        with pytest.raises(UnusableRecipient):
            wrap(PACKED, next_did=did, routing=[key], entropy=entropy)


def test_only_packed_messages_of_bounded_size_are_wrapped(bela: KeyPair, entropy: Callable[[int], bytes]) -> None:
    did = document(bela).did
    with pytest.raises(LocalProtocolError):
        wrap(b"hello", next_did=did, routing=[did], entropy=entropy)
    with pytest.raises(LocalProtocolError):
        wrap(PACKED, next_did="nobody", routing=[did], entropy=entropy)
    largest = b'{"x":"' + b"a" * (limits.MAX_FORWARDED_BYTES - 8) + b'"}'
    assert wrap(largest, next_did=did, routing=[did], entropy=entropy)
    with pytest.raises(MessageTooLarge):
        wrap(largest + b" ", next_did=did, routing=[did], entropy=entropy)


def forward(body: dict[str, Any], *attachments: Attachment) -> Message:
    return Message(id="1", type=FORWARD, body=body, attachments=attachments)


def test_the_shapes_of_others_are_read() -> None:
    """didcomm-node 0.4.1 writes no `to` and an attachment with only `data.json`; the specification shows base64 too."""
    for attachment in (Attachment(data={"json": json.loads(PACKED)}), Attachment.of_base64(PACKED)):
        assert read_forward(forward({"next": "did:example:b#key-1"}, attachment)) == ("did:example:b#key-1", PACKED)


def test_what_cannot_be_passed_on_is_refused() -> None:
    good, attachment = {"next": "did:example:b"}, Attachment.of_base64(PACKED)
    for broken in (
        forward({}, attachment),
        forward({"next": "b"}, attachment),
        forward({"next": 7}, attachment),
        forward(good),
        forward(good, attachment, attachment),
        forward(good, Attachment(data={"links": ["https://x.example"]})),
        replace(forward(good, attachment), type="https://x.example/1.0/forward"),
    ):
        with pytest.raises(MalformedMessage):
            read_forward(broken)
    with pytest.raises(TooLarge):
        read_forward(forward(good, Attachment.of_base64(b"x" * (limits.MAX_FORWARDED_BYTES + 1))))


@given(st.dictionaries(st.sampled_from(["next", "x"]), st.text(max_size=9) | st.none() | st.just("did:x:y")), st.text())
def test_any_forward_is_read_or_refused(body: dict[str, Any], data: str) -> None:
    try:
        following, packed = read_forward(forward(body, Attachment(data={"base64": data})))
    except RemoteProtocolError:
        return
    assert following == "did:x:y"
    assert len(packed) <= len(data)
