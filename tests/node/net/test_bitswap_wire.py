import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.bitswap.pb.bitswap_pb2 import Message

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB, CODEC_RAW
from node.net import bitswap_wire as wire
from protocols.errors import MalformedMessage
from protocols.framing import FrameDecoder

digests = st.binary(min_size=32, max_size=32)
cids = st.builds(Cid, st.sampled_from([CODEC_RAW, CODEC_DAG_PB, CODEC_DAG_CBOR, 0x0129]), digests)
keys = st.one_of(cids.map(bytes), digests.map(lambda digest: b"\x12\x20" + digest))


def unframed(message: bytes) -> bytes:
    (frame,) = FrameDecoder(wire.MAX_MESSAGE_BYTES).feed(message)
    return frame


@given(
    blocks=st.dictionaries(keys, st.binary(max_size=300), max_size=5),
    have=st.lists(keys, max_size=5),
    missing=st.lists(keys, max_size=5),
)
def test_an_answer_is_what_the_generated_classes_make_of_it(
    blocks: dict[bytes, bytes], have: list[bytes], missing: list[bytes]
) -> None:
    message = Message.FromString(unframed(wire.answer(blocks, have, missing)))
    expected = Message()
    for key, block in blocks.items():
        prefix = b"\x00\x70\x12\x20" if key[:2] == b"\x12\x20" else key[:-32]
        expected.payload.add(prefix=prefix, data=block)
    for key in have:
        expected.blockPresences.add(cid=key, type=Message.Have)
    for key in missing:
        expected.blockPresences.add(cid=key, type=Message.DontHave)
    assert message == expected
    read = wire.parse(unframed(wire.answer(blocks, have, missing)))
    assert read.blocks == tuple(blocks.values())
    assert (read.present, read.missing) == (tuple(have), tuple(missing))


@given(wanted=st.lists(cids, max_size=10), whether=st.booleans())
def test_what_is_asked_is_read_as_such(wanted: list[Cid], whether: bool) -> None:
    read = wire.parse(unframed(wire.ask(wanted, only_whether=whether)))
    assert [want.cid for want in read.wants] == wanted
    assert all(want.block != whether and want.send_dont_have for want in read.wants)
    assert (read.cancels, read.full, read.refused) == ((), False, 0)


@given(unwanted=st.lists(cids, max_size=10))
def test_what_is_taken_back_is_read_as_such(unwanted: list[Cid]) -> None:
    read = wire.parse(unframed(wire.cancel(unwanted)))
    assert read.cancels == tuple(map(bytes, unwanted))
    assert read.wants == ()


@given(st.binary(max_size=500))
def test_random_bytes_are_read_or_refused(frame: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        wire.parse(frame)


def test_a_full_wantlist_is_told() -> None:
    message = Message()
    message.wantlist.full = True
    assert wire.parse(message.SerializeToString()).full


def test_garbage_and_wants_beyond_the_limit_are_counted() -> None:
    message = Message()
    for number in range(wire.MAX_WANTS + 5):
        message.wantlist.entries.add(block=bytes(Cid.of(CODEC_RAW, b"%d" % number)) if number else b"garbage")
    read = wire.parse(message.SerializeToString())
    assert len(read.wants) == wire.MAX_WANTS - 1
    assert read.refused == 6


def test_more_blocks_or_answers_than_anybody_asks_for_are_refused() -> None:
    for grow in (
        lambda message: message.blocks.append(b"x"),
        lambda message: message.payload.add(data=b"x"),
        lambda message: message.blockPresences.add(cid=b"x"),
    ):
        message = Message()
        for _ in range(wire.MAX_BLOCKS + 1):
            grow(message)
        with pytest.raises(MalformedMessage):
            wire.parse(message.SerializeToString())


def test_a_version_0_cid_is_read() -> None:
    cid = Cid.of(CODEC_DAG_PB, b"x")
    assert wire.read_cid(b"\x12\x20" + cid.digest) == cid
    assert wire.read_cid(bytes(cid)) == cid
    assert wire.read_cid(b"") is None
