"""The built-in credentials tools: vouch for a twin, and check what others vouch for.

Issuing and checking are functions of whoever makes the plugin: this module knows no keys and no network.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from plugins.sdk import JsonValue, Plugin, ToolError, tool


class Refused(Exception):
    """The twin cannot do it; the text says why, for whoever called the tool."""


IssueReputation = Callable[[str, float | None], Awaitable[Mapping[str, Any]]]
"""Issues a reputation credential about a DID; where the score is None, own experience decides. Raises Refused."""

Verify = Callable[[Mapping[str, Any] | str], Awaitable[Mapping[str, Any]]]
"""Checks a credential or presentation and gives `{valid, checks, errors}`."""


def plugin(issue_reputation: IssueReputation, verify: Verify) -> Plugin:
    """The plugin over the two functions."""

    @tool(description="Issues a signed reputation credential about another twin.", owner_only=True)
    async def vc_issue_reputation(
        subject: Annotated[str, "the DID of the twin"],
        score: Annotated[float | None, "0 to 1; left out, this twin's own experience decides"] = None,
    ) -> dict[str, Any]:
        if score is not None and not 0 <= score <= 1:
            raise ToolError("a reputation score is between 0 and 1")
        try:
            return dict(await issue_reputation(subject, score))
        except Refused as error:
            raise ToolError(str(error)) from error

    @tool(description="Checks a verifiable credential or presentation.", owner_only=True, effect="none")
    async def vc_verify(
        credential: Annotated[JsonValue, "the credential or presentation: its JSON document, or a JWT as text"],
    ) -> dict[str, Any]:
        if not isinstance(credential, dict | str):
            raise ToolError("a credential is a JSON object, or a JWT as text")
        return dict(await verify(credential))

    tools = (vc_issue_reputation, vc_verify)
    return Plugin(name="credentials", version="1.0.0", tools=tools, skills=Path(__file__).with_name("SKILLS.md"))
