"""Attachments of a message (DIDComm v2.1, section "Attachments"): content inline, or where to fetch it and its hash.

Our own large content is attached by CID: the link names it and its hash proves it, wherever it is fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import base58
import orjson

from identity.cid import Cid
from identity.errors import MalformedCid, MalformedMultibase
from identity.multibase import base64url, from_base64url
from protocols.errors import MalformedMessage
from protocols.fields import integer, line, mapping, sequence
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

_IPFS: Final = "ipfs://"
_SHA2_256: Final = b"\x12\x20"
_STANDARD_TO_URL: Final = str.maketrans("+/", "-_", "=")
_FORMS: Final = ("base64", "json", "links")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One attachment. `data` is as it stands in the message; its members are checked, unknown ones are kept."""

    data: Mapping[str, Any]
    id: str | None = None
    media_type: str | None = None
    filename: str | None = None
    format: str | None = None
    description: str | None = None
    byte_count: int | None = None

    @classmethod
    def of_cid(
        cls, cid: Cid, *, media_type: str | None = None, filename: str | None = None, byte_count: int | None = None
    ) -> Self:
        """Content by reference. Its `hash` is the multihash of the CID: that of the root block."""
        data = {"links": [f"{_IPFS}{cid}"], "hash": base58.b58encode(_SHA2_256 + cid.digest).decode()}
        return cls(data=data, media_type=media_type, filename=filename, byte_count=byte_count)

    @classmethod
    def of_json(cls, value: object, *, media_type: str = "application/json") -> Self:
        """A JSON value inline."""
        return cls(data={"json": value}, media_type=media_type)

    @classmethod
    def of_base64(cls, content: bytes, *, media_type: str | None = None, filename: str | None = None) -> Self:
        """Bytes inline."""
        data = {"base64": base64url(content)}
        return cls(data=data, media_type=media_type, filename=filename, byte_count=len(content))

    @property
    def cid(self) -> Cid | None:
        """The CID that the first IPFS link names; None if there is none."""
        for link in self.data.get("links", ()):
            if link.startswith(_IPFS):
                try:
                    return Cid.parse(link.removeprefix(_IPFS))
                except MalformedCid:
                    continue
        return None

    def content(self) -> bytes:
        """What is attached inline; a JSON value as its JSON.

        Raises MalformedMessage if it is not there, or is not base64. Padded and standard base64 is read too.
        """
        if "base64" in self.data:
            try:
                return from_base64url(self.data["base64"].translate(_STANDARD_TO_URL))
            except MalformedMultibase as error:
                raise MalformedMessage("an attachment is not base64") from error
        if "json" in self.data:
            return orjson.dumps(self.data["json"])
        raise MalformedMessage("an attachment's content is not in the message")

    def to_json(self) -> dict[str, object]:
        """The attachment as it stands in a message."""
        members = {member.name: getattr(self, member.name) for member in fields(self)}
        return {name: value for name, value in members.items() if value is not None}


def read_attachments(value: object) -> tuple[Attachment, ...]:
    """The attachments of a message from parsed JSON. Raises MalformedMessage."""
    if value is None:
        return ()
    return tuple(_attachment(entry) for entry in sequence(value, "attachments", MAX_ATTACHMENTS))


def _attachment(value: object) -> Attachment:
    entry = mapping(value, "attachment")

    def text(name: str, max_chars: int) -> str | None:
        return None if entry.get(name) is None else line(entry[name], name, max_chars)

    filename = text("filename", MAX_FILENAME_CHARS)
    if filename is not None and ("/" in filename or "\\" in filename or filename in (".", "..")):
        raise MalformedMessage("'filename' is a path")
    count = entry.get("byte_count")
    return Attachment(
        data=_data(entry.get("data")),
        id=text("id", MAX_ID_CHARS),
        media_type=text("media_type", MAX_MEDIA_TYPE_CHARS),
        filename=filename,
        format=text("format", MAX_URI_CHARS),
        description=text("description", MAX_ATTACHMENT_DESCRIPTION_CHARS),
        byte_count=None if count is None else integer(count, "byte_count", 0),
    )


def _data(value: object) -> Mapping[str, Any]:
    data = mapping(value, "data")
    if not any(name in data for name in _FORMS):
        raise MalformedMessage("an attachment has no content")
    if not isinstance(data.get("base64", ""), str):
        raise MalformedMessage("'base64' is not text")
    if "hash" in data:
        line(data["hash"], "hash", MAX_ATTACHMENT_HASH_CHARS)
    for link in sequence(data.get("links", []), "links", MAX_ATTACHMENT_LINKS):
        line(link, "links", MAX_LINK_CHARS)
    return data
