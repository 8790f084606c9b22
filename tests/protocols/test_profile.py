"""A twin's profile as a block."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor, limits
from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.ipld.links import links_of
from protocols.profile import Profile

DID = did_key(KeyPair(bytes(32)).public)
HEADS = tuple(Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(3))
PROFILE = Profile(
    did=DID,
    name="Ada",
    capabilities=("ask", "playbook"),
    playbooks={"common": HEADS[:2], "tides": HEADS[2:]},
    updated_ms=1_795_000_000_250,
)


def test_a_profile_is_read_as_it_was_written_and_links_to_the_heads() -> None:
    cid, block = PROFILE.to_block()
    assert cid.codec == CODEC_DAG_CBOR
    assert cid.matches(block)
    assert Profile.from_block(block) == PROFILE
    assert set(links_of(cid, block)) == set(HEADS)


def test_a_profile_with_all_its_members_at_their_bounds_fits() -> None:
    heads = tuple(Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(limits.MAX_PROFILE_HEADS))
    full = Profile(
        did=DID,
        name="\N{GREEK SMALL LETTER ALPHA}" * limits.MAX_TWIN_NAME_CHARS,
        capabilities=tuple(f"{n:0{limits.MAX_CAPABILITY_CHARS}}" for n in range(limits.MAX_CAPABILITIES)),
        playbooks={f"{n:064}": heads for n in range(limits.MAX_PROFILE_PLAYBOOKS)},
        updated_ms=2**53 - 1,
    )
    assert Profile.from_block(full.to_block()[1]) == full


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop("v"),
        lambda body: body.update(v=2),
        lambda body: body.update(did="alice"),
        lambda body: body.update(name="two\nlines"),
        lambda body: body.update(capabilities=["x"] * 2),
        lambda body: body.update(capabilities=[str(n) for n in range(limits.MAX_CAPABILITIES + 1)]),
        lambda body: body.update(playbooks=[]),
        lambda body: body.update(playbooks={"Not A Name": []}),
        lambda body: body.update(playbooks={"common": ["bafkqaaa"]}),
        lambda body: body.update(playbooks={"common": [b"\x01x"]}),
        lambda body: body.update(playbooks={"common": [bytes(HEADS[0])] * (limits.MAX_PROFILE_HEADS + 1)}),
        lambda body: body.update(playbooks={str(n): [] for n in range(limits.MAX_PROFILE_PLAYBOOKS + 1)}),
        lambda body: body.update(updated=-1),
    ],
)
def test_a_profile_out_of_form_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    body: Any = dag_cbor.decode(PROFILE.to_block()[1], max_bytes=4096, max_depth=8)
    change(body)
    with pytest.raises(RemoteProtocolError):
        Profile.from_block(dag_cbor.encode(body))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(block: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Profile.from_block(block)


def test_we_write_no_profile_that_nobody_reads() -> None:
    with pytest.raises(LocalProtocolError):
        Profile(did=DID, name="", capabilities=(), playbooks={}, updated_ms=0).to_block()
