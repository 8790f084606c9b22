"""Messages between two twins."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from identity.did import Did, did_key
from identity.keys import KeyPair
from protocols.conversations.reply import Reply
from protocols.message import Message

ADA = KeyPair(bytes((1,)) * 32)
BELA = KeyPair(bytes((2,)) * 32)


@pytest.fixture(scope="session")
def ada() -> KeyPair:
    return ADA


@pytest.fixture(scope="session")
def bela() -> KeyPair:
    return BELA


Say = Callable[..., Message]


@pytest.fixture(scope="session")
def say() -> Say:
    """A message from a twin, Ada unless another is named, with a type and a body or with a reply's."""

    def make(what: Reply | str, body: Mapping[str, Any] | None = None, *, by: KeyPair = ADA, id: str = "m1") -> Message:  # noqa: A002
        reply = what if isinstance(what, Reply) else Reply(what, body or {})
        sender: Did = did_key(by.public)
        return Message(
            id=id, type=reply.type, body=reply.body, from_=sender, attachments=reply.attachments, created_time=1
        )

    return make
