"""Artifacts: sign any JSON as this twin, and check what others signed."""

from typing import Annotated, Any

from pydantic import Field

from identity.artifacts import MAX_SIGNATURE_CHARS, SignedArtifact, is_valid, sign_artifact
from identity.did import parse_did
from node.api.router import Routes
from node.api.wire import Wire
from node.twin import Twin

routes = Routes("artifacts")


class ToSign(Wire):
    """Any JSON whose numbers are exact: whole numbers below 2^53."""

    artifact: Any


class SignedOut(Wire):
    did: str
    signature: str
    artifact: Any


class ToVerify(Wire):
    did: Annotated[str, Field(min_length=1, max_length=2048)]
    signature: Annotated[str, Field(min_length=1, max_length=MAX_SIGNATURE_CHARS)]
    artifact: Any


class Validity(Wire):
    valid: bool


@routes.add("POST", "/v1/artifacts/sign", "Sign an artifact with this twin's key.")
async def sign(twin: Twin, body: ToSign) -> SignedOut:
    signed = sign_artifact(body.artifact, did=twin.did, sign=twin.sign)
    return SignedOut(did=signed.did, signature=signed.signature, artifact=signed.artifact)


@routes.add("POST", "/v1/artifacts/verify", "Whether a DID signed an artifact: a twin's, or any that resolves.")
async def verify(twin: Twin, body: ToVerify) -> Validity:
    did = parse_did(body.did)
    document = await twin.resolver.resolve(did)
    signed = SignedArtifact(did, body.signature, body.artifact)
    return Validity(valid=is_valid(signed, resolve=lambda _: document))
