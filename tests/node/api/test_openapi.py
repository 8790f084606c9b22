"""The OpenAPI document is valid in its references, and says everything that the routes do."""

import json
import re
from collections.abc import Iterator
from typing import Any

from fake_twin import TOKEN, FakeTwin
from serving import Client, with_server

from node.api.app import make_app

CONTRACT = """
GET /live, GET /ready, GET /metrics, GET /v1/id, GET /v1/did, GET /v1/swarm/peers, GET /v1/swarm/dht,
POST /v1/swarm/connect, GET /v1/twins,
POST /v1/interact, POST /v1/plan, GET /v1/jobs, GET /v1/jobs/{id}, GET /v1/jobs/{id}/log,
POST /v1/memory, POST /v1/memory/search, GET /v1/memory, DELETE /v1/memory/{id}, POST /v1/didcomm/send,
GET /v1/didcomm/inbox,
GET /v1/didcomm/outbox, POST /v1/didcomm/ping, POST /v1/didcomm/discover, POST /v1/didcomm/invitation,
GET /v1/didcomm/invitations, DELETE /v1/didcomm/invitations/{id}, POST /v1/didcomm/accept, GET /v1/didcomm/mediators,
POST /v1/ipfs/add, GET /v1/ipfs/cat/{cid}, GET /v1/playbooks/{name},
POST /v1/playbooks/{name}/revisions, GET /v1/playbooks/{name}/revisions, POST /v1/playbooks/{name}/rollback,
POST /v1/playbooks/{name}/revisions/{cid}/approve, POST /v1/playbooks/{name}/revisions/{cid}/reject, GET /v1/trust,
PUT /v1/trust, GET /v1/tools, POST /v1/tools/{name}/execute, POST /v1/events, GET /v1/events, GET /v1/events/log,
GET /v1/openapi.json
"""


def fetched() -> dict[str, Any]:
    documents: list[dict[str, Any]] = []

    async def test(client: Client, _: FakeTwin) -> None:
        status, document, _ = await client("GET", "/v1/openapi.json")
        assert status == 200
        documents.append(document)

    with_server(test)
    return documents[0]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def every(document: Any, key: str) -> Iterator[Any]:
    """All values of `key`, wherever it stands."""
    if isinstance(document, dict):
        if key in document:
            yield document[key]
        for value in document.values():
            yield from every(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from every(value, key)


def test_every_route_is_documented_and_every_documented_route_exists() -> None:
    app = make_app(FakeTwin(), TOKEN)
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    documented = {(method, path) for method, path, _ in operations(fetched())}
    assert documented == served
    assert {tuple(route.split()) for route in CONTRACT.replace("\n", " ").split(", ")} <= {
        (method, path) for method, path in served
    }


def test_references_resolve_and_ids_are_unique() -> None:
    document = fetched()
    assert document["openapi"] == "3.1.0"
    references = set(every(document, "$ref"))
    assert references
    for reference in references:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert "$defs" not in json.dumps(document)


def test_each_operation_says_what_it_takes_gives_and_needs() -> None:
    document = fetched()
    for method, path, operation in operations(document):
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)), path
        assert all("schema" in parameter for parameter in operation["parameters"])
        assert operation["summary"].endswith("."), path
        for family in ("4XX", "5XX"):
            assert operation["responses"][family] == {"$ref": "#/components/responses/Problem"}
        assert operation["responses"]["200"]["content"]
        assert (operation.get("security") == []) == (path in ("/live", "/ready")), path
        assert method != "PUT" or operation["requestBody"]["required"]
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "application/problem+json" in document["components"]["responses"]["Problem"]["content"]


def test_the_bounds_are_in_the_schemas() -> None:
    document = fetched()
    schemas = document["components"]["schemas"]
    goal = schemas["Interact"]["properties"]
    assert (goal["max_steps"]["minimum"], goal["max_steps"]["maximum"]) == (1, 64)
    assert schemas["Interact"]["additionalProperties"] is False
    limit = next(p for p in document["paths"]["/v1/jobs"]["get"]["parameters"] if p["name"] == "limit")
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"], limit["required"]) == (1, 500, False)
    message = schemas["MessageOut"]["properties"]
    assert "from" in message
    assert "from_" not in message
    ops = schemas["Proposal"]["properties"]["ops"]["items"]
    assert ops["discriminator"]["propertyName"] == "op"
