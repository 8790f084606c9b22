"""Other agents' DID documents, resolved."""

from aiohttp import web

from identity.did import Did
from node.api.router import Routes
from node.twin import Twin

routes = Routes("dids")


@routes.add("GET", "/v1/dids/{did}", "The DID document of a did:key, did:peer or did:web, in the form this twin uses.")
async def resolve(twin: Twin, did: Did) -> web.StreamResponse:
    document = twin.document() if did == twin.did else await twin.resolver.resolve(did)
    return web.json_response(document.to_json())
