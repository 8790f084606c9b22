import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_DAG_JSON, CODEC_DAG_PB, CODEC_RAW
from protocols import dag_cbor
from protocols.errors import MalformedMessage, RemoteProtocolError, TooDeep, TooLarge
from protocols.ipld import dag_json, dag_pb
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import UnknownCodec
from protocols.ipld.links import knows, links_of, repeated_links_of
from protocols.limits import MAX_CBOR_ITEMS
from protocols.playbook import dag_jose

A, B, C = (Cid.of(CODEC_RAW, bytes([number])) for number in range(3))
KNOWN = (CODEC_RAW, CODEC_DAG_PB, CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_DAG_JSON)


def links(codec: int, block: bytes) -> tuple[Cid, ...]:
    return links_of(Cid.of(codec, block), block)


def test_a_raw_block_names_nothing() -> None:
    assert links(CODEC_RAW, bytes(A)) == ()


def test_dag_pb_names_each_once_in_order() -> None:
    block = dag_pb.encode([PbLink(cid, "", 0) for cid in (B, A, B, C, A)], None)
    assert links(CODEC_DAG_PB, block) == (B, A, C)
    assert repeated_links_of(Cid.of(CODEC_DAG_PB, block), block) == (B, A, B, C, A)


def test_dag_cbor_names_each_once_in_order() -> None:
    block = dag_cbor.encode({"b": [bytes(B), {"a": bytes(A)}], "a": bytes(B), "ccc": bytes(C)})
    assert links(CODEC_DAG_CBOR, block) == (B, A, C)


def test_bytes_of_dag_cbor_that_look_like_a_link_are_none() -> None:
    assert links(CODEC_DAG_CBOR, b"\x81\x58\x24" + bytes(A)) == ()


def test_dag_json_names_each_once() -> None:
    assert links(CODEC_DAG_JSON, dag_json.encode([A, {"b": B}, A])) == (A, B)


def test_an_envelope_names_its_payload() -> None:
    assert links(CODEC_DAG_JOSE, dag_jose.seal(A, KeyPair(bytes(32)))) == (A,)


def test_an_encrypted_block_names_nothing() -> None:
    assert links(CODEC_DAG_JOSE, dag_cbor.encode({"ciphertext": b"\xffx", "iv": b"\xffx"})) == ()


def test_an_unknown_codec() -> None:
    with pytest.raises(UnknownCodec, match="0x78"):
        links(0x78, b"")
    assert [codec for codec in range(400) if knows(codec)] == sorted(KNOWN)


@pytest.mark.parametrize(
    ("codec", "block"),
    [
        (CODEC_DAG_PB, b"\x0a\x05x"),
        (CODEC_DAG_PB, b"\x12\x0a\x0a\x08\x01\x55\x00\x04tide"),
        (CODEC_DAG_CBOR, b""),
        (CODEC_DAG_CBOR, b"\x01\x01"),
        (CODEC_DAG_CBOR, b"\x9f\xff"),
        (CODEC_DAG_CBOR, b"\xa2\x61b\x01\x61a\xd8\x2a\x58\x25\x00" + bytes(A)),
        (CODEC_DAG_CBOR, b"\xd8\x2a\x01"),
        (CODEC_DAG_CBOR, b"\xd8\x2a\x58\x24" + bytes(A)),
        (CODEC_DAG_CBOR, b"\xd8\x2b\x58\x25\x00" + bytes(A)),
        (CODEC_DAG_CBOR, b"\xd8\x2a\x45\x00\x01\x55\x00\x00"),
        (CODEC_DAG_CBOR, b"\xd8\x2a\xd8\x2a\x58\x25\x00" + bytes(A)),
        (CODEC_DAG_CBOR, b"\xd8\x2a"),
        (CODEC_DAG_JSON, b'{"/":"bafkqaaa"}'),
        (CODEC_DAG_JOSE, b"\xa0"),
        (CODEC_DAG_JOSE, b"\x80"),
        (CODEC_DAG_JOSE, b"\xa1\x67payload\x41x"),
    ],
)
def test_what_is_not_of_its_codec_is_refused(codec: int, block: bytes) -> None:
    with pytest.raises(MalformedMessage):
        links(codec, block)


def test_a_block_without_end_is_not_gone_through() -> None:
    with pytest.raises(TooLarge):
        links(CODEC_DAG_CBOR, b"\x9a\x00\x0f\xff\xff" + b"\x01" * (MAX_CBOR_ITEMS + 1))
    for codec, block in ((CODEC_DAG_CBOR, b"\x81" * 1000), (CODEC_DAG_JOSE, b"\x81" * 1000), (0x0129, b"[" * 1000)):
        with pytest.raises(TooDeep):
            links(codec, block)


@given(st.sampled_from(KNOWN), st.binary(max_size=120))
def test_random_bytes_raise_nothing_else(codec: int, block: bytes) -> None:
    try:
        found = links(codec, block)
    except RemoteProtocolError:
        return
    assert len(set(found)) == len(found)
