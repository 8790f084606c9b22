"""Report problem 2.0: what went wrong, as a code and in words (DIDComm v2.1, "Problem Reports").

A code is `SORTER.SCOPE.DESCRIPTOR…`, from general to special, so that a prefix can be acted on. A report begins a
thread of its own under the one in trouble. Never answer a report with a report: two agents would not stop.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from protocols import fields, limits
from protocols.conversations.machine import one_way
from protocols.conversations.reply import Reply
from protocols.errors import MalformedMessage

URI: Final = "https://didcomm.org/report-problem/2.0"
PROBLEM: Final = f"{URI}/problem-report"

SENDER, RECEIVER = one_way("report-problem 2.0", URI, "problem-report")

COMMENTS: Final[Mapping[str, str]] = {
    "trust": "Failed to achieve required trust.",
    "trust.crypto": "Cryptographic operation failed.",
    "xfer": "Unable to transport data.",
    "did": "DID is unusable.",
    "msg": "Bad message.",
    "me": "Internal error.",
    "me.res": "A required resource is inadequate or unavailable.",
    "me.res.net": "A required resource is inadequate or unavailable.",
    "me.res.memory": "A required resource is inadequate or unavailable.",
    "me.res.storage": "A required resource is inadequate or unavailable.",
    "me.res.compute": "A required resource is inadequate or unavailable.",
    "me.res.money": "A required resource is inadequate or unavailable.",
    "req": "Circumstances don't satisfy requirements.",
    "req.time": "Failed to satisfy timing constraints.",
    "legal": "Failed for legal reasons.",
}
"""The descriptors that the specification defines, and the comment that belongs to each."""

UNSUPPORTED: Final = "e.p.msg.unsupported"
"""A type that nobody here handles."""

MALFORMED: Final = "e.m.msg.malformed"
"""A known type with a body that it does not allow."""

UNEXPECTED: Final = "e.m.req.not-due"
"""A message that the state of its conversation does not allow."""

LIVE_MODE_NOT_SUPPORTED: Final = "e.m.live-mode-not-supported"
"""Message pickup: the connection cannot deliver by itself."""

_CODE: Final = re.compile(r"(e|w)\.([a-z0-9-]+)((?:\.[a-z0-9-]+)*)", re.ASCII)
_PLACE: Final = re.compile(r"\{([0-9]{1,4})\}", re.ASCII)

Sorter = Literal["e", "w"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem. `scope` is `p` (the whole protocol is off), `m` (one message had no effect) or the name of the state
    that its sender went back to; the sorter `e` is an error, `w` one that the receiver has to judge.
    """

    code: str
    comment: str = ""
    args: tuple[str | None, ...] = ()
    escalate_to: str | None = None

    @property
    def sorter(self) -> Sorter:
        """`e`: it defeats what somebody wanted; `w`: the reporter does not know."""
        return "e" if self.code.startswith("e.") else "w"

    @property
    def scope(self) -> str:
        """How much is undone: `p`, `m`, or a state's name."""
        return self.code.split(".")[1]

    @property
    def descriptor(self) -> str:
        """What follows sorter and scope, such as `xfer.cant-use-endpoint`; empty if nothing does."""
        return ".".join(self.code.split(".")[2:])

    def within(self, prefix: str) -> bool:
        """Whether the descriptor is `prefix` or more special than it."""
        return f"{self.descriptor}.".startswith(f"{prefix}.")

    @property
    def text(self) -> str:
        """The comment with its places filled: `?` for what is missing, and what has no place behind it, with commas."""
        used: set[int] = set()

        def fill(place: re.Match[str]) -> str:
            index = int(place[1]) - 1
            used.add(index)
            return (self.args[index] if 0 <= index < len(self.args) else None) or "?"

        filled = _PLACE.sub(fill, self.comment)
        extra = [arg or "?" for index, arg in enumerate(self.args) if index not in used]
        return ", ".join([filled, *extra] if filled else extra)

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body: dict[str, Any] = {"code": self.code}
        if self.comment:
            body["comment"] = self.comment
        if self.args:
            body["args"] = list(self.args)
        if self.escalate_to is not None:
            body["escalate_to"] = self.escalate_to
        return fields.sendable(Problem.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        code = fields.line(body.get("code"), "code", limits.MAX_PROBLEM_CODE_CHARS)
        if not _CODE.fullmatch(code):
            raise MalformedMessage("'code' is not a problem code")
        escalate_to = body.get("escalate_to")
        return cls(
            code=code,
            comment=fields.line(body.get("comment") or "", "comment", limits.MAX_PROBLEM_COMMENT_CHARS, min_chars=0),
            args=tuple(
                None if arg is None else fields.line(arg, "args", limits.MAX_PROBLEM_ARG_CHARS, min_chars=0)
                for arg in fields.sequence(body.get("args") or [], "args", limits.MAX_PROBLEM_ARGS)
            ),
            escalate_to=None
            if escalate_to is None
            else fields.line(escalate_to, "escalate_to", limits.MAX_PROBLEM_ARG_CHARS),
        )


def comment_of(code: str) -> str:
    """The comment that the specification gives to the most special descriptor of `code` that it knows."""
    descriptor = Problem(code).descriptor.split(".")
    known = (COMMENTS.get(".".join(descriptor[:length])) for length in range(len(descriptor), 0, -1))
    return next((comment for comment in known if comment), "")


def report(
    code: str,
    comment: str = "",
    args: Sequence[str | None] = (),
    *,
    pthid: str,
    ack: Sequence[str] = (),
    escalate_to: str | None = None,
) -> Reply:
    """A problem in the thread `pthid`; `ack` names the message that caused it, if one did.

    The comment belongs to the code, and what differs from case to case goes into `args`; without one it is the
    specification's. Raises LocalProtocolError if the receiver would refuse it.
    """
    problem = Problem(code, comment or comment_of(code), tuple(args), escalate_to)
    return Reply(PROBLEM, problem.to_body(), pthid=pthid, ack=tuple(ack))
