from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JSON, CODEC_DAG_PB, CODEC_RAW, encode_varint
from protocols import dag_cbor
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, TooLarge
from protocols.ipld.car import CarReader, car_header, car_section
from protocols.ipld.links import links_of
from protocols.limits import MAX_CAR_ROOTS

FIXTURE = Path(__file__).parent / "vectors" / "carv1-basic.car"
"""https://ipld.io/specs/transport/car/fixture/carv1-basic/"""

ROOT = Cid.of(CODEC_RAW, b"tide")
SECTION = car_section(ROOT, b"tide")


def framed(data: bytes) -> bytes:
    return encode_varint(len(data)) + data


def read(
    data: bytes, *, step: int = 1 << 20, max_block_bytes: int = 1 << 20
) -> tuple[CarReader, list[tuple[Cid, bytes]]]:
    reader = CarReader(max_block_bytes)
    blocks = [block for start in range(0, len(data), step) for block in reader.feed(data[start : start + step])]
    reader.finish()
    return reader, blocks


def test_the_fixture_of_the_specification() -> None:
    data = FIXTURE.read_bytes()
    reader, blocks = read(data)
    assert [str(root) for root in reader.roots] == [
        "bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm",
        "bafyreidj5idub6mapiupjwjsyyxhyhedxycv4vihfsicm2vt46o7morwlm",
    ]
    assert len(blocks) == 8
    assert blocks[0][0] == reader.roots[0]
    known = dict(blocks)
    assert set(links_of(*blocks[0])) <= known.keys()
    assert {cid.codec for cid in known} == {CODEC_RAW, CODEC_DAG_PB, CODEC_DAG_CBOR}
    again = car_header(reader.roots) + b"".join(car_section(cid, block) for cid, block in blocks)
    assert read(again)[1] == blocks


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=9), st.integers(1, 200))
def test_blocks_come_back_whatever_the_pieces(contents: list[bytes], step: int) -> None:
    blocks = [
        (Cid.of((CODEC_RAW, CODEC_DAG_JSON)[place % 2], content), content) for place, content in enumerate(contents)
    ]
    roots = tuple(dict.fromkeys(cid for cid, _ in blocks))
    data = car_header(roots) + b"".join(car_section(cid, block) for cid, block in blocks)
    reader, got = read(data, step=step)
    assert got == blocks
    assert reader.roots == roots


def test_a_block_by_version_0() -> None:
    cid = Cid.of(CODEC_DAG_PB, b"\x0a\x02\x08\x01")
    section = b"\x12\x20" + cid.digest + b"\x0a\x02\x08\x01"
    assert read(car_header([cid]) + framed(section))[1] == [(cid, b"\x0a\x02\x08\x01")]


def test_nothing_is_known_before_the_header_is_whole() -> None:
    reader = CarReader()
    header = car_header([ROOT])
    assert reader.feed(header[:-1]) == []
    assert reader.roots == ()
    assert reader.feed(header[-1:]) == []
    assert reader.roots == (ROOT,)
    reader.finish()


@pytest.mark.parametrize("count", [0, MAX_CAR_ROOTS + 1])
def test_we_write_no_file_without_roots_or_with_too_many(count: int) -> None:
    with pytest.raises(LocalProtocolError):
        car_header([ROOT] * count)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(car_header([ROOT])[:-1], id="half a header"),
        pytest.param(car_header([ROOT]) + SECTION[:-1], id="half a section"),
        pytest.param(car_header([ROOT]) + b"\xac", id="half a length"),
        pytest.param(car_header([ROOT]) + car_section(ROOT, b"ebb!"), id="a block that is another"),
        pytest.param(car_header([ROOT]) + b"\x00" + SECTION, id="an empty section"),
        pytest.param(car_header([ROOT]) + b"\x80\x00", id="a length not in its shortest form"),
        pytest.param(car_header([ROOT]) + b"\xff" * 9 + b"\x01", id="a length of more than 63 bits"),
        pytest.param(car_header([ROOT]) + framed(b"\x01\x55\x00\x04tidetide"), id="an identity CID"),
        pytest.param(car_header([ROOT]) + framed(b"\x01\x55\x16\x20" + bytes(40)), id="another hash"),
        pytest.param(car_header([ROOT]) + framed(b"\x02" + bytes(ROOT)[1:] + b"tide"), id="a CID of version 2"),
        pytest.param(car_header([ROOT]) + framed(bytes(ROOT)[:20]), id="half a CID"),
        pytest.param(car_header([ROOT]) + framed(b"\x12\x20" + bytes(20)), id="half a CID of version 0"),
        pytest.param(framed(dag_cbor.encode({"roots": [], "version": 1})), id="no roots"),
        pytest.param(framed(dag_cbor.encode({"version": 1})), id="no list of roots"),
        pytest.param(framed(dag_cbor.encode({"roots": [bytes(ROOT)]})), id="no version"),
        pytest.param(framed(dag_cbor.encode({"roots": [bytes(ROOT)], "version": 2})), id="version 2"),
        pytest.param(framed(dag_cbor.encode({"roots": [bytes(ROOT)], "version": True})), id="a version that is true"),
        pytest.param(framed(dag_cbor.encode({"roots": [bytes(ROOT)], "version": 1, "x": 1})), id="more in the header"),
        pytest.param(framed(dag_cbor.encode({"roots": ["tide"], "version": 1})), id="a root that is text"),
        pytest.param(framed(dag_cbor.encode({"roots": [[bytes(ROOT)]] * 2, "version": 1})), id="roots in a list"),
        pytest.param(framed(dag_cbor.encode({"roots": {"a": bytes(ROOT)}, "version": 1})), id="roots in a map"),
        pytest.param(framed(dag_cbor.encode([1])), id="a header that is a list"),
        pytest.param(framed(b"\xa0\x00"), id="a header and more"),
        pytest.param(b"\x0a\xa1\x67version\x02" + bytes(40), id="a CARv2 file"),
        pytest.param(
            framed(dag_cbor.encode({"roots": [bytes(ROOT)] * (MAX_CAR_ROOTS + 1), "version": 1})), id="too many roots"
        ),
    ],
)
def test_what_is_no_car_file_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read(data)


def test_a_length_is_checked_before_anything_of_that_length_is_held() -> None:
    with pytest.raises(TooLarge):
        CarReader().feed(encode_varint(1 << 40))
    reader = CarReader(100)
    reader.feed(car_header([ROOT]))
    with pytest.raises(TooLarge):
        reader.feed(encode_varint(200))
    block = bytes(101)
    with pytest.raises(TooLarge):
        read(car_header([ROOT]) + car_section(Cid.of(CODEC_RAW, block), block), max_block_bytes=100)
    assert (
        len(read(car_header([ROOT]) + car_section(Cid.of(CODEC_RAW, bytes(100)), bytes(100)), max_block_bytes=100)[1])
        == 1
    )


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, car_header([ROOT]) + data, framed(data), car_header([ROOT]) + framed(bytes(ROOT) + data)):
        try:
            read(candidate, step=7)
        except RemoteProtocolError:
            continue


@given(st.data())
def test_a_changed_file_is_read_or_refused(data: st.DataObject) -> None:
    good = bytearray(FIXTURE.read_bytes())
    place, byte = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 255))
    changed = good[place] != byte
    good[place] = byte
    whole = read(FIXTURE.read_bytes())
    try:
        reader, blocks = read(bytes(good))
    except RemoteProtocolError:
        assert changed
        return
    if changed:  # What passes has other roots, or CIDs of another codec: each block still has its hash.
        assert (reader.roots, blocks) != (whole[0].roots, whole[1])
        assert all(cid.matches(block) for cid, block in blocks)
