"""The built-in tools over the twin's own key and others': sign any JSON, and check what was signed.

The key never comes here: signing and verifying are functions that the plugin is given.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from plugins.sdk import JsonValue, Plugin, ToolError, tool

MAX_SIGNATURE_CHARS: Final = 96
"""64 bytes have at most 89 characters in base58btc with its prefix."""

MAX_DID_CHARS: Final = 2048


class Refused(Exception):
    """The identity service cannot do it; the text says why, for whoever called the tool."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A JSON value with the DID that signed it and the signature."""

    did: str
    signature: str
    artifact: Any


Sign = Callable[[Any], Signed]
"""Signs as this twin. Raises Refused."""

Verify = Callable[[Signed], Awaitable[bool]]
"""Whether the DID signed it. Raises Refused if nobody can tell: the DID does not resolve, or has no fitting key."""


def plugin(sign: Sign, verify: Verify) -> Plugin:
    """The plugin over a signer and a verifier."""

    @tool(description="Signs a JSON value with this twin's key.", owner_only=True)
    async def did_sign_artifact(
        artifact: Annotated[JsonValue, "any JSON value; whole numbers below 2^53"],
    ) -> dict[str, Any]:
        try:
            signed = sign(artifact)
        except Refused as error:
            raise ToolError(str(error)) from error
        return {"did": signed.did, "signature": signed.signature, "artifact": signed.artifact}

    @tool(description="Tells whether a DID signed a JSON value.", owner_only=True, effect="none")
    async def did_verify_artifact(
        did: Annotated[str, "who is said to have signed"],
        signature: Annotated[str, "the signature, as `did_sign_artifact` gives it"],
        artifact: Annotated[JsonValue, "the JSON value"],
    ) -> dict[str, bool]:
        if len(did) > MAX_DID_CHARS or len(signature) > MAX_SIGNATURE_CHARS:
            raise ToolError("the DID or the signature is too long to be one")
        try:
            return {"valid": await verify(Signed(did, signature, artifact))}
        except Refused as error:
            raise ToolError(str(error)) from error

    return Plugin(
        name="identity",
        version="1.0.0",
        tools=(did_sign_artifact, did_verify_artifact),
        skills=Path(__file__).with_name("SKILLS.md"),
    )
