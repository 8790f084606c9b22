"""The tools of credentials: issuing from this twin's own experience, and checking."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from identity.credentials.schemas import REPUTATION
from identity.did import Did, parse_did
from identity.errors import PagiError
from node.credentials.service import Credentials
from plugins.builtin.credentials import Refused, plugin
from plugins.sdk import Plugin

ClaimsOf = Callable[[Did], Awaitable[Mapping[str, Any]]]
"""What this twin can testify about another: `reputationScore` and `contributions`."""


def credentials_tools(credentials: Credentials, claims_of: ClaimsOf) -> Plugin:
    """The plugin over this twin; a score that the caller gives takes the place of the one from experience."""

    async def issue_reputation(subject: str, score: float | None) -> Mapping[str, Any]:
        try:
            claims = dict(await claims_of(parse_did(subject)))
            if score is not None:
                claims["reputationScore"] = score
            return await credentials.issue(REPUTATION, subject, claims)
        except PagiError as error:
            raise Refused(f"{error} {error.hint}") from error

    async def verify(value: Mapping[str, Any] | str) -> Mapping[str, Any]:
        return (await credentials.verify(value)).to_json()

    return plugin(issue_reputation, verify)
