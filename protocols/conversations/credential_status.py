"""Credential status 1.0, ours: a verifier asks an issuer for one of its status lists, where that has no web address.

The issuer keeps no state, and answers anybody. The list is a signed credential: what is in it is not looked at here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields, limits
from protocols.conversations import problem_report
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply
from protocols.message import Message

URI: Final = "https://pagi.ai/credential/1.0"
STATUS_REQUEST: Final = f"{URI}/status-request"
STATUS_LIST: Final = f"{URI}/status-list"

NO_SUCH_LIST: Final = "e.p.req.status-list-unknown"
"""The problem code for a number that is not in use."""

VERIFIER: Final = Table(
    name="credential 1.0",
    role="verifier",
    uri=URI,
    start="idle",
    final=frozenset({"answered", "unanswered"}),
    transitions={
        ("idle", "send status-request"): "waiting",
        ("waiting", "receive status-list"): "answered",
        ("waiting", "receive problem-report"): "unanswered",
        ("waiting", "deadline passed"): "unanswered",
    },
)

ISSUER: Final = Table(
    name="credential 1.0",
    role="issuer",
    uri=URI,
    start="idle",
    final=frozenset({"done"}),
    transitions={
        ("idle", "receive status-request"): "asked",
        ("asked", "send status-list"): "done",
        ("asked", "send problem-report"): "done",
    },
)


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Asks for the list of this number."""

    number: int

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the issuer would refuse it."""
        return fields.sendable(StatusRequest.from_body, {"list": self.number})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(fields.integer(body.get("list"), "list", 1, limits.MAX_STATUS_LIST_NUMBER))


def status_list(number: int, credential: Mapping[str, Any]) -> Reply:
    """The issuer's answer."""
    return Reply(STATUS_LIST, {"list": number, "credential": credential})


def unknown(message: Message) -> Reply:
    """The issuer's answer where there is no such list."""
    return problem_report.report(NO_SUCH_LIST, "There is no such status list here.", pthid=message.thread)


def read_status_list(message: Message) -> Mapping[str, Any] | None:
    """The list's credential, not verified; None if the message brings none, such as a problem report."""
    credential = message.body.get("credential")
    return credential if message.type == STATUS_LIST and isinstance(credential, Mapping) else None
