"""Whatever comes, checking it ends with an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.credentials.errors import CredentialError
from identity.credentials.status_list import decode, read_entry
from identity.errors import PagiError
from identity.multibase import base64url
from tests.identity.credentials.support import credential, failures, signed, verified
from tests.identity.credentials.test_verify import presentation

pytestmark = pytest.mark.slow

GOOD = [signed(credential()), signed(credential(), suite="eddsa-rdfc-2022"), presentation(signed(credential()))]
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("did:key:z6Mk")
trees = st.recursive(leaves, lambda one: st.lists(one) | st.dictionaries(st.text(max_size=4), one), max_leaves=6)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every member."""
    below: Any = document.items() if isinstance(document, dict) else ()
    below = enumerate(document) if isinstance(document, list) else below
    return [place for key, value in below for place in ((*path, key), *places(value, (*path, key)))]


@given(st.sampled_from(GOOD), st.data())
def test_any_member_replaced_by_anything(good: dict[str, Any], data: st.DataObject) -> None:
    document = json.loads(json.dumps(good))
    *way, last = data.draw(st.sampled_from(places(document)))
    place = document
    for key in way:
        place = place[key]
    before = place[last]
    place[last] = data.draw(trees.filter(lambda value: value != before))
    assert not verified(document).valid, "something could be changed unseen"


@given(st.binary(max_size=64) | st.text(max_size=64))
def test_bytes_and_text(value: bytes | str) -> None:
    assert not verified(value).valid


@given(trees, trees, st.binary(max_size=70))
def test_jwts(header: Any, claims: Any, signature: bytes) -> None:
    parts = [json.dumps(part).encode() for part in ({"alg": "EdDSA", "x": header}, claims)]
    token = ".".join(base64url(part) for part in (*parts, signature))
    assert not verified(token).valid


encoded_lists = st.text(max_size=40) | st.binary(max_size=40).map(base64url)


@given(encoded_lists.map(lambda text: "u" + text))
def test_status_lists(encoded: str) -> None:
    try:
        decode(encoded)
    except PagiError:
        return
    raise AssertionError("nothing so short is a list")


members = st.sampled_from(["type", "statusPurpose", "statusListIndex", "statusSize", "statusMessage"])


@given(st.dictionaries(members, trees))
def test_status_entries(entry: dict[str, Any]) -> None:
    try:
        read_entry({"type": "BitstringStatusListEntry", **entry})
    except CredentialError:
        return
    raise AssertionError("an entry without a list")


@given(st.dictionaries(st.text(max_size=4), trees, max_size=3))
def test_signing_anything_by_rdf(claims: dict[str, Any]) -> None:
    document = {**credential(), "credentialSubject": {"id": "did:x:1", **claims}}
    try:
        made = signed(document, suite="eddsa-rdfc-2022")
    except CredentialError:
        return
    assert "signature" not in failures(verified(made))
