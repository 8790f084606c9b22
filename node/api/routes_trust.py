"""Whom the owner trusts."""

from typing import Annotated

from pydantic import Field

from identity.did import parse_did
from node.api.router import Routes
from node.api.wire import Wire
from node.twin import Twin
from storage.trust import Trust

routes = Routes("trust")

DidText = Annotated[str, Field(min_length=1, max_length=2048)]
DidList = Annotated[list[DidText], Field(max_length=10_000)]


class TrustDoc(Wire):
    """`allow` may work with this twin, `block` may not reach it; what is in both is blocked."""

    allow: DidList
    block: DidList
    reputation_threshold: Annotated[float, Field(ge=0, le=1)]
    auto_adopt: bool


@routes.add("GET", "/v1/trust", "The trust list.")
async def show(twin: Twin) -> TrustDoc:
    return _document(await twin.trust.get())


@routes.add("PUT", "/v1/trust", "Replace the trust list.")
async def replace(twin: Twin, body: TrustDoc) -> TrustDoc:
    await twin.trust.put(
        Trust(
            allow=frozenset(parse_did(text) for text in body.allow),
            block=frozenset(parse_did(text) for text in body.block),
            reputation_threshold=body.reputation_threshold,
            auto_adopt=body.auto_adopt,
        )
    )
    return _document(await twin.trust.get())


def _document(trust: Trust) -> TrustDoc:
    return TrustDoc(
        allow=sorted(trust.allow),
        block=sorted(trust.block),
        reputation_threshold=trust.reputation_threshold,
        auto_adopt=trust.auto_adopt,
    )
