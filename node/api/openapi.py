"""The OpenAPI 3.1 document, made from the routes themselves, so that it cannot say anything else."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from node.api import problem
from node.api.problem import Problem
from node.api.router import Route

_REF: Final = "#/components/schemas/{model}"

JsonSchema = dict[str, Any]
Mode = Literal["validation", "serialization"]


def document(routes: Sequence[Route], *, public: frozenset[str], version: str) -> JsonSchema:
    """The whole document. Paths in `public` need no token."""
    refs, schemas = _schemas(routes)
    paths: dict[str, JsonSchema] = {}
    for route in routes:
        operation = _operation(route, refs)
        if route.path in public:
            operation["security"] = []
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PAGI Twin",
            "version": version,
            "summary": "The owner's interface to one twin.",
            "license": {"name": "See the repository"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The file api-token in the twin's home."}
            },
            "responses": {
                "Problem": {
                    "description": "What went wrong, and what to do next.",
                    "content": {problem.MEDIA_TYPE: {"schema": refs[Problem, "serialization"]}},
                }
            },
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[tuple[type[BaseModel], Mode], JsonSchema], JsonSchema]:
    """A reference for each model of a body or an answer, and the schemas that they name."""
    wanted: dict[tuple[type[BaseModel], Mode], None] = {(Problem, "serialization"): None}
    for route in routes:
        if route.body is not None:
            wanted[route.body, "validation"] = None
        if route.reply is not None:
            wanted[route.reply, "serialization"] = None
    refs, definitions = models_json_schema(list(wanted), ref_template=_REF)
    return {(model, mode): ref for (model, mode), ref in refs.items() if mode != "both"}, definitions["$defs"]  # type: ignore[comparison-overlap,misc]


def _operation(route: Route, refs: dict[tuple[type[BaseModel], Mode], JsonSchema]) -> JsonSchema:
    answer: JsonSchema = {"type": "string"} if route.produces.startswith("text/") else {}
    if route.reply is not None:
        answer = refs[route.reply, "serialization"]
    operation: JsonSchema = {
        "operationId": f"{route.tag}_{route.run.__name__}",
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            str(status): {"description": HTTPStatus(status).phrase, "content": {route.produces: {"schema": answer}}}
            for status in route.statuses
        }
        | {family: {"$ref": "#/components/responses/Problem"} for family in ("4XX", "5XX")},
    }
    if route.body is not None:
        schema = refs[route.body, "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif route.consumes:
        operation["requestBody"] = {"content": {media_type: {"schema": {}} for media_type in route.consumes}}
    return operation


def _parameters(route: Route) -> list[JsonSchema]:
    parameters: list[JsonSchema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 256}}
        for name in sorted(route.path_parts)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema()
        required = frozenset(schema.get("required", ()))
        for name, member in schema["properties"].items():
            parameters.append({"name": name, "in": "query", "required": name in required, "schema": member})
    return parameters
