"""Invitations as URLs: the specification's example, round trips, and what people paste."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import base64url
from protocols import limits
from protocols.attachment import Attachment
from protocols.conversations.out_of_band import INVITATION, Invitation, from_url, read_invitation, to_url
from protocols.errors import LocalProtocolError, MalformedMessage, MessageTooLarge, RemoteProtocolError, TooLarge
from protocols.message import Message

EXAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "published.json").read_text())[
    "out_of_band_url"
]

DID = did_key(KeyPair(bytes((1,)) * 32).public)
BODY = Invitation("to.chat", "Let us talk", ("didcomm/v2",)).to_body()


def invitation(**change: Any) -> Message:
    return Message(**{"id": "i1", "type": INVITATION, "from_": DID, "body": BODY} | change)


def url_of(value: object) -> str:
    return f"https://a.example/?_oob={base64url(json.dumps(value).encode())}"


def test_the_example_of_the_specification() -> None:
    message = from_url(EXAMPLE["url"])
    assert (message.id, message.from_, message.type) == (EXAMPLE["id"], EXAMPLE["from"], INVITATION)
    assert read_invitation(message) == Invitation()
    assert message.attachments[0].id == "request-0"


@pytest.mark.parametrize("base", ["https://a.example", "https://a.example/i?x=1", "pagi://i", "https://a.example/i?"])
def test_a_round_trip(base: str) -> None:
    message = invitation(expires_time=99, attachments=(Attachment.of_json({"x": 1}),))
    assert from_url(to_url(message, base)) == message
    assert from_url(f"  {to_url(message, base)}\n") == message


def test_padded_base64_is_read() -> None:
    padded = base64url(invitation().to_bytes() + b" ") + "=="
    assert from_url(f"https://a.example?_oob={padded}").id == "i1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "https://a.example",
        "https://a.example?_oob=",
        "https://a.example?_oob=%%%",
        "https://a.example?_oob=AAAA",
        "https://a.example?_oobid=5f0e3ffb-3f92-4648-9868-0d6f8889e6f3",
        "https://[",
        "https://a.example?" + "&".join(f"a{i}=1" for i in range(99)),
        url_of(
            {"id": "1", "type": "https://didcomm.org/basicmessage/2.0/message", "from": DID, "body": {"content": "x"}}
        ),
        url_of({"id": "1", "type": INVITATION, "body": {}}),
        url_of({"id": "1", "type": INVITATION, "from": "nobody", "body": {}}),
        url_of({"id": "1", "type": INVITATION, "from": DID, "body": {"goal": "two\nlines"}}),
        url_of({"id": "1", "type": INVITATION, "from": DID, "body": {"accept": ["x"] * 9}}),
        url_of({"id": "1", "type": INVITATION, "from": DID, "attachments": [{"data": {"json": 1}}] * 9}),
        url_of([]),
    ],
)
def test_what_is_no_invitation_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        from_url(text)


def test_the_bound_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(TooLarge):
        from_url("https://a.example?_oob=" + "A" * limits.MAX_INVITATION_URL_CHARS)
    with pytest.raises(MessageTooLarge):
        to_url(
            invitation(attachments=(Attachment.of_json("x" * limits.MAX_INVITATION_URL_CHARS),)), "https://a.example"
        )


def test_only_an_invitation_becomes_a_url() -> None:
    for broken in (
        invitation(type="https://x.example/1.0/x"),
        invitation(from_=None),
        invitation(body={"goal": "x" * 999}),
    ):
        with pytest.raises(LocalProtocolError):
            to_url(broken, "https://a.example")
    with pytest.raises(LocalProtocolError):
        to_url(invitation(), "https://a.example/#part")


def test_a_goal_that_hides_text_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        Invitation.from_body({"goal": "\u202eevil"})


@given(
    st.text(max_size=200) | st.text("AB%_-=&?#/:[].", max_size=40).map(lambda text: f"https://a.example?_oob={text}")
)
def test_whatever_is_pasted_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        from_url(text)
