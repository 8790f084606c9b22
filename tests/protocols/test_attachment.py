import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from protocols.attachment import Attachment, read_attachments
from protocols.errors import MalformedMessage
from protocols.limits import (
    MAX_ATTACHMENT_DESCRIPTION_CHARS,
    MAX_ATTACHMENT_HASH_CHARS,
    MAX_ATTACHMENT_LINKS,
    MAX_ATTACHMENTS,
    MAX_FILENAME_CHARS,
    MAX_ID_CHARS,
    MAX_LINK_CHARS,
    MAX_MEDIA_TYPE_CHARS,
    MAX_URI_CHARS,
)

CID = Cid.of(CODEC_RAW, b"hello")


def again(attachment: Attachment) -> Attachment:
    (read,) = read_attachments(json.loads(json.dumps([attachment.to_json()])))
    return read


@given(st.binary(max_size=100))
def test_bytes_come_back(content: bytes) -> None:
    attachment = Attachment.of_base64(content, media_type="text/plain", filename="a.txt")
    assert again(attachment) == attachment
    assert (attachment.content(), attachment.byte_count, attachment.cid) == (content, len(content), None)


def test_a_json_value_comes_back() -> None:
    attachment = Attachment.of_json({"a": [1, None]})
    assert again(attachment) == attachment
    assert json.loads(attachment.content()) == {"a": [1, None]}


@pytest.mark.parametrize("codec", [CODEC_RAW, CODEC_DAG_PB])
def test_a_cid_comes_back_and_has_no_content(codec: int) -> None:
    cid = Cid(codec, CID.digest)
    attachment = again(Attachment.of_cid(cid, media_type="video/mp4", filename="a.mp4", byte_count=5))
    assert attachment.cid == cid
    with pytest.raises(MalformedMessage):
        attachment.content()


def test_the_hash_is_a_multihash() -> None:
    """The multihash of "hello" with sha2-256 as `ipfs add` of a CIDv0 writes hashes."""
    assert Attachment.of_cid(CID).data["hash"] == "QmRN6wdp1S2A5EtjW9A3M1vKSBuQQGcgvuhoMUoEz4iiT5"


@pytest.mark.parametrize(
    ("links", "cid"),
    [
        ([], None),
        (["https://example.org/a"], None),
        (["ipfs://nonsense"], None),
        (["ipfs://nonsense", "https://example.org/a", f"ipfs://{CID}"], CID),
        ([f"ipfs://{CID}/path"], None),
    ],
)
def test_the_first_good_ipfs_link_counts(links: list[str], cid: Cid | None) -> None:
    assert Attachment(data={"links": links, "hash": "x"}).cid == cid


@pytest.mark.parametrize("text", ["-_8", "-_8=", "+/8=", "+/8"])
def test_every_base64_is_read(text: str) -> None:
    assert Attachment(data={"base64": text}).content() == b"\xfb\xff"


@pytest.mark.parametrize("text", ["!", "A", "é", "AB"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        Attachment(data={"base64": text}).content()


def test_unknown_members_of_the_data_stay_and_others_go() -> None:
    (read,) = read_attachments([{"data": {"json": 1, "jws": {}}, "lastmod_time": 1, "x": 2}])
    assert read == Attachment(data={"json": 1, "jws": {}})


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": {}},
        {"data": {"hash": "x"}},
        {"data": {"base64": 1}},
        {"data": {"links": "ipfs://x"}},
        {"data": {"links": [1]}},
        {"data": {"links": ["x"] * (MAX_ATTACHMENT_LINKS + 1)}},
        {"data": {"links": ["x" * (MAX_LINK_CHARS + 1)]}},
        {"data": {"json": 1, "hash": 1}},
        {"data": {"json": 1, "hash": "x" * (MAX_ATTACHMENT_HASH_CHARS + 1)}},
        {"id": 1},
        {"id": ""},
        {"id": "x" * (MAX_ID_CHARS + 1)},
        {"filename": "x" * (MAX_FILENAME_CHARS + 1)},
        {"filename": "../x"},
        {"filename": "a\\b"},
        {"filename": ".."},
        {"filename": "a\x00"},
        {"media_type": "x" * (MAX_MEDIA_TYPE_CHARS + 1)},
        {"format": "x" * (MAX_URI_CHARS + 1)},
        {"description": "x" * (MAX_ATTACHMENT_DESCRIPTION_CHARS + 1)},
        {"byte_count": -1},
        {"byte_count": True},
        {"byte_count": "5"},
    ],
)
def test_wrong_members_are_refused(change: dict[str, Any]) -> None:
    good = {"data": {"json": 1}}
    assert read_attachments([good])
    with pytest.raises(MalformedMessage):
        read_attachments([good | change])


@pytest.mark.parametrize("value", [{}, "x", 1, [None], [[]], [{"data": {"json": 1}}] * (MAX_ATTACHMENTS + 1)])
def test_what_is_no_list_of_attachments_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        read_attachments(value)


def test_no_attachments() -> None:
    assert read_attachments(None) == read_attachments([]) == ()
