"""Red lines: what nobody may suggest to this twin."""

from typing import Annotated, Literal

from pydantic import Field

from node.api.router import Routes
from node.api.wire import PageQuery, Wire, sorted_page
from node.clock import rfc3339
from node.red_lines.red_lines import Hit
from node.twin import Twin
from protocols import limits
from storage.red_lines import RedLine

routes = Routes("red lines")

Kind = Literal["phrase", "pattern", "meaning"]


class NewRedLine(Wire):
    """A `phrase` is found however it is written, a `pattern` is a regular expression without back references, a
    `meaning` a sentence that others are compared with."""

    kind: Kind
    text: Annotated[str, Field(min_length=1, max_length=512)]


class RedLineOut(Wire):
    id: str
    kind: Kind
    text: str
    created: str


class RedLinePage(Wire):
    items: list[RedLineOut]
    next: str | None


class TestedText(Wire):
    text: Annotated[str, Field(min_length=1, max_length=limits.MAX_TEXT_BYTES)]


class HitOut(Wire):
    """`likeness` is null for what was found by rule: that is rejected, the rest waits for a person."""

    id: str
    kind: Kind
    text: str
    likeness: float | None


class Hits(Wire):
    items: list[HitOut]


class Gone(Wire):
    id: str


@routes.add("GET", "/v1/red-lines", "The red lines.")
async def list_lines(twin: Twin, query: PageQuery) -> RedLinePage:
    lines, following = sorted_page(twin.hive.red_lines.lines, lambda line: line.id, query)
    return RedLinePage(items=[_line(line) for line in lines], next=following)


@routes.add("POST", "/v1/red-lines", "Add a red line; what was taught before is judged by it too.")
async def add(twin: Twin, body: NewRedLine) -> RedLineOut:
    return _line(await twin.hive.red_lines.add(body.kind, body.text))


@routes.add("DELETE", "/v1/red-lines/{line}", "Take a red line off the list.")
async def remove(twin: Twin, line: str) -> Gone:
    await twin.hive.red_lines.remove(line)
    return Gone(id=line)


@routes.add("POST", "/v1/red-lines/test", "Which red lines a text crosses.")
async def test(twin: Twin, body: TestedText) -> Hits:
    found = await twin.hive.red_lines.crossed([("the text", body.text)])
    return Hits(items=[_hit(hit) for hit in found.hits])


def _line(line: RedLine) -> RedLineOut:
    return RedLineOut(id=line.id, kind=line.kind, text=line.text, created=rfc3339(line.created_ms))


def _hit(hit: Hit) -> HitOut:
    likeness = None if hit.likeness is None else round(min(hit.likeness, 1.0), 4)
    return HitOut(id=hit.line.id, kind=hit.line.kind, text=hit.line.text, likeness=likeness)
