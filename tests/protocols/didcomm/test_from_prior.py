"""Rotation of a DID; what is refused stands in tests/vectors/didcomm/negative.json."""

import contextlib
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did, DidDocument, resolve_did_key
from identity.errors import NotResolvedYet
from identity.multibase import base64url, from_base64url
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import pack_authcrypt, unpack
from protocols.didcomm.from_prior import FromPrior, make_from_prior, read_from_prior, rotation_of
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.limits import CLOCK_SKEW_S, MAX_FROM_PRIOR_CHARS
from protocols.message import Message

NOW = 1_700_000_000


@pytest.fixture(scope="module")
def jwt(alice: Any, bob: Any) -> str:
    return make_from_prior(old=author_of(alice.keys), new_did=bob.did, iat=NOW)


def test_it_comes_back(jwt: str, alice: Any, bob: Any) -> None:
    assert read_from_prior(jwt, resolve=resolve_did_key) == FromPrior(alice.did, bob.did, NOW)


def test_it_is_the_jwt_of_the_specification(jwt: str, alice: Any, bob: Any) -> None:
    header, claims = (json.loads(from_base64url(part)) for part in jwt.split(".")[:2])
    assert header == {"typ": "JWT", "alg": "EdDSA", "kid": alice.signs_as}
    assert claims == {"iss": alice.did, "sub": bob.did, "iat": NOW}


def test_a_message_carries_it_to_its_reader(jwt: str, alice: Any, bob: Any, mallory: Any) -> None:
    message = Message(id="1", type="t", from_=bob.did, to=(mallory.did,), from_prior=jwt)
    for sent, found in ((message, FromPrior(alice.did, bob.did, NOW)), (replace(message, from_prior=None), None)):
        packed = pack_authcrypt(sent, sender=bob.keys, recipients=[mallory.document], entropy=os.urandom)
        unpacked = unpack(packed, keys=[mallory.keys])
        for now_s in (NOW, NOW - CLOCK_SKEW_S, NOW + 10**9):
            assert rotation_of(unpacked, resolve=resolve_did_key, now_s=now_s) == found


def test_a_did_does_not_take_its_own_place(alice: Any) -> None:
    with pytest.raises(LocalProtocolError):
        make_from_prior(old=author_of(alice.keys), new_did=alice.did, iat=NOW)


def test_a_prior_did_that_is_not_resolved_yet_reaches_the_caller(jwt: str, alice: Any) -> None:
    def nothing_at_hand(did: Did) -> DidDocument:
        raise NotResolvedYet(did)

    with pytest.raises(NotResolvedYet) as raised:
        read_from_prior(jwt, resolve=nothing_at_hand)
    assert raised.value.did == alice.did


def test_its_length_is_bounded_before_anything_is_read(jwt: str) -> None:
    with pytest.raises(MalformedMessage):
        read_from_prior(jwt + "A" * MAX_FROM_PRIOR_CHARS, resolve=resolve_did_key)


@given(st.data())
def test_a_changed_character_is_noticed(jwt: str, alice: Any, bob: Any, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(jwt) - 1))
    changed = jwt[:place] + data.draw(st.characters(exclude_characters=jwt[place])) + jwt[place + 1 :]
    with pytest.raises(RemoteProtocolError):
        read_from_prior(changed, resolve=resolve_did_key)


@given(
    st.text(max_size=60)
    | st.lists(st.binary(max_size=40) | st.just(b"{}") | st.just(b'{"alg":"EdDSA"}'), max_size=4).map(
        lambda parts: ".".join(map(base64url, parts))
    )
)
def test_any_text_gives_a_remote_error(text: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        raise AssertionError(read_from_prior(text, resolve=resolve_did_key))
