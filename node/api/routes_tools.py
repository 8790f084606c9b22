"""The tools that this twin can use."""

from typing import Annotated, Any

from pydantic import Field

from identity.did import parse_did
from node.api.errors import NoSuchItem
from node.api.router import Routes
from node.api.wire import JsonObject, PageQuery, Wire, sorted_page
from node.twin import Twin
from plugins.host import ToolInfo

routes = Routes("tools")


class ToolOut(Wire):
    """`parameters` is a JSON Schema. For a goal an `owner_only` tool waits for leave; `effect` is `none` for what only
    looks, and `acts` for what changes something."""

    name: str
    description: str
    parameters: JsonObject
    plugin: str
    kind: str
    health: str
    owner_only: bool
    effect: str


class ToolPage(Wire):
    items: list[ToolOut]
    next: str | None


class Execute(Wire):
    """`twin_id` names the twin whose tool it is; only this one's can be executed here."""

    parameters: JsonObject = Field(default_factory=dict)
    twin_id: Annotated[str, Field(min_length=1, max_length=2048)] | None = None


class Executed(Wire):
    result: Any


class Removed(Wire):
    name: str


@routes.add("GET", "/v1/tools", "The tools.")
async def list_tools(twin: Twin, query: PageQuery) -> ToolPage:
    rows, cursor = sorted_page(twin.tools.list(), lambda tool: tool.name, query)
    return ToolPage(items=[_tool(tool) for tool in rows], next=cursor)


@routes.add("POST", "/v1/tools/{name}/execute", "Run one tool.")
async def execute(twin: Twin, name: str, body: Execute) -> Executed:
    if body.twin_id not in (None, "me") and parse_did(body.twin_id) != twin.did:
        raise NoSuchItem("only this twin's own tools can be executed here")
    return Executed(result=await twin.tools.execute(name, body.parameters))


@routes.add("DELETE", "/v1/tools/{name}", "Take away a tool that the twin built (kind `built`).")
async def remove(twin: Twin, name: str) -> Removed:
    await twin.mind.builder.remove(name)
    return Removed(name=name)


def _tool(tool: ToolInfo) -> ToolOut:
    return ToolOut(
        name=tool.name,
        description=tool.description,
        parameters=dict(tool.parameters),
        plugin=tool.plugin,
        kind=tool.kind,
        health=tool.health,
        owner_only=tool.owner_only,
        effect=tool.effect,
    )
