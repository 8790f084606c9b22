"""Signed artifacts: what is signed is the value, not its spelling, and nothing else passes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.artifacts import SignedArtifact, canonical, is_valid, sign_artifact
from identity.did import Did, did_key
from identity.errors import MalformedDid, UnsignableArtifact
from identity.keys import KeyPair

KEYS = KeyPair(bytes(range(32)))
OTHER = KeyPair(bytes(range(1, 33)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def signed(artifact: Any, keys: KeyPair = KEYS) -> SignedArtifact:
    return sign_artifact(artifact, did=did_key(keys.public), sign=keys.sign)


def test_the_example_of_rfc_8785() -> None:
    """RFC 8785, section 3.2.2: members sorted, numbers in their shortest form, only needed escapes."""
    value = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "literals": [None, True, False]}
    expected = b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    assert canonical(value) == expected


@given(VALUES)
def test_what_was_signed_is_valid_in_any_spelling(artifact: Any) -> None:
    made = signed(artifact)
    assert is_valid(made)
    assert is_valid(replace(made, artifact=json.loads(json.dumps(artifact, indent=3))))


@given(VALUES, VALUES)
def test_another_value_is_not_valid(artifact: Any, other: Any) -> None:
    if canonical(artifact) != canonical(other):
        assert not is_valid(replace(signed(artifact), artifact=other))


def test_another_signer_is_not_valid() -> None:
    assert not is_valid(replace(signed({"a": 1}), did=did_key(OTHER.public)))


@pytest.mark.parametrize("signature", ["", "z", "z1", "u" + "A" * 86, "z" * 96, "z" * 5000, "zÄ"])
def test_what_is_no_signature_is_not_valid(signature: str) -> None:
    assert not is_valid(replace(signed(1), signature=signature))


@pytest.mark.parametrize("artifact", [2**53, float("nan"), "\ud800", {"a": float("inf")}, {1: 2}, object()])
def test_what_has_no_canonical_form_is_refused(artifact: Any) -> None:
    with pytest.raises(UnsignableArtifact):
        signed(artifact)


def test_a_did_without_a_key() -> None:
    with pytest.raises(MalformedDid):
        is_valid(replace(signed(1), did=Did("did:web:example.org")))
