"""CIDs against the specification's vectors, the `multiformats` package, and hostile text."""

import json
from pathlib import Path
from typing import Any

import multiformats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_DAG_PB, CODEC_RAW, encode

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "multiformats.json").read_text())
CODECS = st.sampled_from([CODEC_RAW, CODEC_DAG_PB, CODEC_DAG_CBOR, CODEC_DAG_JOSE])


@pytest.mark.parametrize("case", VECTORS["cid"]["cases"])
def test_cid_vectors(case: dict[str, Any]) -> None:
    cid = Cid.parse(case["text"])
    assert (cid.codec, cid.digest.hex(), str(cid)) == (case["codec"], case["digest"], case["v1"])


@pytest.mark.parametrize("case", VECTORS["block"]["cases"])
def test_block_vectors(case: dict[str, Any]) -> None:
    assert str(Cid.of(case["codec"], bytes.fromhex(case["hex"]))) == case["cid"]


@given(CODECS, st.binary(max_size=100))
def test_agrees_with_multiformats(codec: int, block: bytes) -> None:
    cid = Cid.of(codec, block)
    other = multiformats.CID.decode(str(cid))
    assert (other.version, other.codec.code, other.raw_digest) == (1, codec, cid.digest)
    assert bytes(other) == bytes(cid)
    assert Cid.parse(other.encode("base58btc")) == cid
    assert Cid.from_bytes(bytes(other)) == cid
    assert cid.matches(block)
    assert not cid.matches(block + b"x")


def test_a_cid_version_0_becomes_its_version_1() -> None:
    cid = Cid.of(CODEC_DAG_PB, b"node")
    old = multiformats.CID("base58btc", 0, "dag-pb", b"\x12\x20" + cid.digest)
    assert Cid.parse(str(old)) == cid


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\x55\x12\x20" + bytes(31),
        b"\x01\x55\x12\x20" + bytes(33),
        b"\x02\x55\x12\x20" + bytes(32),
        b"\x01\x55\x11\x20" + bytes(32),
        b"\x01\xd5\x00\x12\x20" + bytes(32),
    ],
    ids=["empty", "no codec", "short", "long", "version 2", "sha1", "codec not minimal"],
)
def test_binary_forms_that_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedCid):
        Cid.from_bytes(data)
    with pytest.raises(MalformedCid):
        Cid.parse(encode("b", data))


@pytest.mark.parametrize(
    "text", ["", "Qm", "Qm" + "1" * 44, "Qm" + "0" * 44, "bafk", "b" * 129, "did:key:z6Mk", "z" * 128]
)
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(MalformedCid):
        Cid.parse(text)


@given(st.one_of(st.text(max_size=140), st.binary(max_size=60).map(lambda data: encode("b", data))))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except MalformedCid:
        return
    assert Cid.parse(str(cid)) == cid


@given(st.lists(st.tuples(CODECS, st.binary(max_size=4)), max_size=8))
def test_cids_sort_as_their_bytes_do(parts: list[tuple[int, bytes]]) -> None:
    cids = [Cid.of(codec, block) for codec, block in parts if codec < 0x80]
    assert sorted(cids) == sorted(cids, key=bytes)
