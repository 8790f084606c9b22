"""Out of band 2.0: an invitation that travels as a URL or a QR code (DIDComm v2.1, "Out Of Band Messages").

Whoever sees the URL can read it, so it holds nothing private; it can be copied, so the inviter decides whether it
counts once or often. The first message that answers it names its id as `pthid`. A URL is only read here, never fetched:
the short form, `_oobid`, is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from identity.errors import MalformedMultibase
from identity.multibase import base64url, from_base64url
from protocols import fields, limits
from protocols.conversations.machine import Table
from protocols.errors import LocalProtocolError, MalformedMessage, MessageTooLarge, TooLarge
from protocols.message import Message, parse_message

URI: Final = "https://didcomm.org/out-of-band/2.0"
INVITATION: Final = f"{URI}/invitation"

PARAMETER: Final = "_oob"

SENDER: Final = Table(
    name="out-of-band 2.0",
    role="sender",
    uri=URI,
    start="idle",
    final=frozenset({"used", "expired", "withdrawn"}),
    transitions={
        ("idle", "send invitation"): "open",
        ("open", "an answer came (it counts once)"): "used",
        ("open", "an answer came (it counts often)"): "open",
        ("open", "deadline passed"): "expired",
        ("open", "withdrawn by the owner"): "withdrawn",
    },
)

RECEIVER: Final = Table(
    name="out-of-band 2.0",
    role="receiver",
    uri=URI,
    start="idle",
    final=frozenset({"accepted", "declined"}),
    transitions={
        ("idle", "receive invitation"): "shown",
        ("shown", "accepted by the owner"): "accepted",
        ("shown", "declined by the owner"): "declined",
        ("shown", "deadline passed"): "declined",
    },
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invitation is for. `accept` are the profiles that the inviter reads, the preferred one first; the
    requests to choose one from are the message's attachments.
    """

    goal_code: str = ""
    goal: str = ""
    accept: tuple[str, ...] = ()

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        members = {"goal_code": self.goal_code, "goal": self.goal, "accept": list(self.accept)}
        return fields.sendable(Invitation.from_body, {name: value for name, value in members.items() if value})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(
            goal_code=fields.line(body.get("goal_code") or "", "goal_code", limits.MAX_GOAL_CHARS, min_chars=0),
            goal=fields.line(body.get("goal") or "", "goal", limits.MAX_GOAL_CHARS, min_chars=0),
            accept=fields.lines(body.get("accept") or [], "accept", limits.MAX_ACCEPT, limits.MAX_ACCEPT_CHARS),
        )


def read_invitation(message: Message) -> Invitation:
    """What an invitation says. Raises MalformedMessage if it is none, or does not say who invites."""
    if message.type != INVITATION:
        raise MalformedMessage("not an invitation")
    if message.from_ is None:
        raise MalformedMessage("an invitation says who invites")
    if len(message.attachments) > limits.MAX_INVITATION_ATTACHMENTS:
        raise MalformedMessage(f"an invitation has at most {limits.MAX_INVITATION_ATTACHMENTS} attachments")
    return Invitation.from_body(message.body)


def to_url(invitation: Message, base: str) -> str:
    """The invitation behind `base`, a URL that explains to people what to do with it.

    Raises LocalProtocolError if it is no invitation that can be read, MessageTooLarge.
    """
    fields.sendable(read_invitation, invitation)
    if "#" in base:
        raise LocalProtocolError("an invitation's URL has no fragment: what follows it would not be sent")
    separator = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    url = f"{base}{separator}{PARAMETER}={base64url(invitation.to_bytes())}"
    if len(url) > limits.MAX_INVITATION_URL_CHARS:
        raise MessageTooLarge(f"an invitation of {len(url)} characters; {limits.MAX_INVITATION_URL_CHARS} are allowed")
    return url


def from_url(text: str) -> Message:
    """The invitation in a URL, whatever its scheme and place, checked with `read_invitation`.

    Raises RemoteProtocolError. Nothing proves who made it: everything in it is a claim.
    """
    if len(text) > limits.MAX_INVITATION_URL_CHARS:
        raise TooLarge(f"an invitation of {len(text)} characters; {limits.MAX_INVITATION_URL_CHARS} are read")
    try:
        query = dict(parse_qsl(urlsplit(text.strip()).query))
        packed = from_base64url(query.get(PARAMETER, "").rstrip("="))
    except (ValueError, MalformedMultibase) as error:
        raise MalformedMessage("not the URL of an invitation") from error
    if not packed:
        raise MalformedMessage(f"not the URL of an invitation: it has no `{PARAMETER}`")
    message = parse_message(packed)
    read_invitation(message)
    return message
