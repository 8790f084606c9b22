"""The built-in tools over the twin's mail: write a private message to somebody, and read what came.

The post office is not known here: sending and listing are functions that the plugin is given.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from plugins.sdk import JsonObject, Plugin, ToolError, tool

MAX_LISTED: Final = 50
"""A tool's result is bounded; the owner's own interface pages through all of them."""

MAX_BODY_CHARS: Final = 512
"""Of a longer body only so much is shown."""

MAX_RESULT_CHARS: Final = 16_000
"""Of all messages together: even where each character takes four bytes, the result stays within the host's bound."""


class Refused(Exception):
    """The message cannot be sent; the text says why, for whoever called the tool."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is in the outbox."""

    id: str
    status: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came. `sender` is None where nobody is proven; `named` is whether the owner named the sender."""

    id: str
    sender: str | None
    type: str
    body: Mapping[str, Any]
    received: str
    named: bool


TEXT: Final = "https://didcomm.org/basicmessage/2.0/message"
"""The type of a text from one person to another."""

Send = Callable[[str, str, Mapping[str, Any]], Awaitable[Sent]]
"""Queues a message: to, type, body. Raises Refused."""

Inbox = Callable[[int], Awaitable[Sequence[Received]]]
"""The newest messages, at most so many."""


def plugin(send: Send, inbox: Inbox) -> Plugin:
    """The plugin over a post office."""

    @tool(description="Sends a private message to a DID.", owner_only=True)
    async def didcomm_send_message(
        to: Annotated[str, "the recipient's DID"],
        text: Annotated[str, "what it says, in words; empty where it has a body"],
        type: Annotated[str, "the message type, a URI; a text if it is left out"] = TEXT,  # noqa: A002 - DIDComm's name
        body: Annotated[JsonObject | None, "what a message of another type says, instead of a text"] = None,
    ) -> dict[str, str]:
        if bool(text) == (body is not None) or (text and type != TEXT):
            raise ToolError("a message says either a text, or a body as its type wants it")
        try:
            sent = await send(to, type, {"content": text} if body is None else body)
        except Refused as error:
            raise ToolError(str(error)) from error
        return {"id": sent.id, "status": sent.status}

    @tool(description="Lists the newest private messages that came.", owner_only=True, effect="none")
    async def didcomm_get_inbox(
        limit: Annotated[int, "at most so many, 1 to 50; fewer if they are long"] = 10,
    ) -> list[dict[str, Any]]:
        if not 1 <= limit <= MAX_LISTED:
            raise ToolError(f"limit is 1 to {MAX_LISTED}")
        return _as_many_as_fit([_shown(message) for message in await inbox(limit)])

    return Plugin(
        name="didcomm",
        version="1.0.0",
        tools=(didcomm_send_message, didcomm_get_inbox),
        skills=Path(__file__).with_name("SKILLS.md"),
    )


def _as_many_as_fit(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest ones, at least one."""
    left = MAX_RESULT_CHARS
    for number, message in enumerate(shown):
        left -= len(json.dumps(message, ensure_ascii=False))
        if left < 0 and number:
            return shown[:number]
    return shown


def _shown(message: Received) -> dict[str, Any]:
    text = json.dumps(dict(message.body), ensure_ascii=False)
    fits = len(text) <= MAX_BODY_CHARS
    return {
        "id": message.id,
        "from": message.sender,
        "named": message.named,
        "type": message.type,
        "received": message.received,
        "body": message.body if fits else None,
        "beginning": None if fits else text[:MAX_BODY_CHARS],
    }
