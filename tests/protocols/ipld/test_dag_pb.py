import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from protocols.errors import MalformedMessage
from protocols.ipld import dag_pb
from protocols.ipld.dag_pb import PbLink, PbNode
from protocols.ipld.protobuf import bytes_field, varint_field

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "ipld.json").read_text())
LEAF = Cid.of(CODEC_RAW, b"tide")
LINK = dag_pb.encode([PbLink(LEAF, "a", 4)], None)


@pytest.mark.parametrize("vector", VECTORS["dag_pb"], ids=lambda vector: vector["name"])
def test_the_fixtures_of_the_specification(vector: dict[str, Any]) -> None:
    block = bytes.fromhex(vector["hex"])
    assert Cid.of(CODEC_DAG_PB, block) == Cid.parse(vector["cid"])
    node, said = dag_pb.decode(block), json.loads(vector["json"])
    data = said.get("Data")
    assert node.data == (None if data is None else base64.b64decode(data["/"]["bytes"] + "=="))
    assert node.links == tuple(
        PbLink(Cid.parse(link["Hash"]["/"]), link.get("Name", ""), link.get("Tsize", 0)) for link in said["Links"]
    )


@given(st.lists(st.tuples(st.text(max_size=9), st.integers(0, 2**63 - 1)), max_size=9), st.none() | st.binary())
def test_a_block_comes_back_with_its_links_sorted(links: list[tuple[str, int]], data: bytes | None) -> None:
    given_links = [PbLink(Cid.of(CODEC_RAW, bytes([place])), *link) for place, link in enumerate(links)]
    node = dag_pb.decode(dag_pb.encode(given_links, data))
    assert node == PbNode(tuple(sorted(given_links, key=lambda link: link.name.encode())), data)


def test_links_by_version_0_become_version_1() -> None:
    digest = bytes(range(32))
    block = bytes_field(2, bytes_field(1, b"\x12\x20" + digest))
    assert dag_pb.decode(block) == PbNode((PbLink(Cid(CODEC_DAG_PB, digest), "", 0),), None)


def test_the_bytes_may_stand_first() -> None:
    assert dag_pb.decode(b"\x0a\x01x" + LINK + LINK) == dag_pb.decode(LINK + LINK + b"\x0a\x01x")


def link_of(*fields: bytes) -> bytes:
    return bytes_field(2, b"".join(fields))


HASH = bytes_field(1, bytes(LEAF))


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x0a\x01x\x0a\x01y", id="bytes twice"),
        pytest.param(LINK + b"\x0a\x01x" + LINK, id="bytes between links"),
        pytest.param(b"\x1a\x01x", id="an unknown field"),
        pytest.param(varint_field(1, 7), id="bytes that are a number"),
        pytest.param(link_of(), id="a link without a CID"),
        pytest.param(link_of(bytes_field(2, b"a")), id="a name without a CID"),
        pytest.param(link_of(HASH, HASH), id="two CIDs"),
        pytest.param(link_of(bytes_field(2, b"a"), HASH), id="a name before the CID"),
        pytest.param(link_of(HASH, bytes_field(2, b"\xff")), id="a name that is not UTF-8"),
        pytest.param(link_of(HASH, bytes_field(3, b"4")), id="a size that is no number"),
        pytest.param(link_of(HASH, varint_field(4, 1)), id="a link with an unknown field"),
        pytest.param(link_of(bytes_field(1, b"no CID")), id="no CID"),
        pytest.param(link_of(bytes_field(1, b"\x01\x55\x00\x04tide")), id="an identity CID"),
        pytest.param(link_of(bytes_field(1, b"\x01\x55\x16\x20" + bytes(32))), id="a CID by sha3-256"),
        pytest.param(link_of(bytes_field(1, bytes(LEAF) + b"x")), id="a CID and more"),
    ],
)
def test_what_is_not_dag_pb_is_refused(block: bytes) -> None:
    with pytest.raises(MalformedMessage):
        dag_pb.decode(block)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(block: bytes) -> None:
    for candidate in (block, LINK + block, link_of(HASH, block)):
        try:
            dag_pb.decode(candidate)
        except MalformedMessage:
            continue
