import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.actions import BuildTool
from node.mind.deciding import building
from node.mind.deciding.building import Builder, draft, plain_name
from node.mind.deciding.choosing import Question
from node.mind.errors import BuiltToolUnknown, FormulaRefused, TooManyBuilt
from plugins.builtin import calculator
from plugins.host import PluginHost
from plugins.sdk import Plugin, Tool
from storage import built_tools as rows
from storage.database import Database
from tests.node.inference.fake import ScriptedEngine
from tests.node.net.fake import FakeSwarm
from tests.node.parts import open_node

AREA = BuildTool("area", "The area of a wall.", {"width": "in metres", "height": "in metres"}, "width * height")


def new(database: Database, **taken: Plugin) -> tuple[Builder, PluginHost]:
    host = PluginHost()
    host.register(calculator.plugin())
    return Builder(database, host, now=lambda: 7), host


def kinds(host: PluginHost) -> dict[str, str]:
    return {info.name: info.kind for info in host.list()}


def test_a_built_tool_works_is_listed_and_survives_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, host = new(node.database)
            assert builder.refusal(AREA) is None
            assert await builder.build(AREA) == "area"
            assert kinds(host) == {"area": "built", "calculator": "builtin"}
            assert await host.execute("area", {"width": 2, "height": 4.5}) == 9.0
            (info,) = [one for one in host.list() if one.name == "area"]
            assert (info.effect, info.owner_only, info.description) == ("none", False, "The area of a wall.")
            assert info.parameters["required"] == ["width", "height"]
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, host = new(node.database)
            await builder.load()
            assert await host.execute("area", {"width": 2, "height": 4.5}) == 9.0

    asyncio.run(main())


def test_building_the_same_again_changes_nothing_and_another_of_the_name_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, host = new(node.database)
            for _ in range(2):
                assert await builder.build(AREA) == "area"
            other = BuildTool("area", "Something else.", {"side": "in metres"}, "side ** 2")
            with pytest.raises(FormulaRefused, match="called area"):
                await builder.build(other)
            assert await host.execute("area", {"width": 1, "height": 3}) == 3.0
            again, _ = new(node.database)  # a stop between the disk and the listing: it is listed now
            assert await again.build(AREA) == "area"
            assert len(await node.database.read(rows.everything)) == 1

    asyncio.run(main())


def test_a_built_tool_is_removed_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, host = new(node.database)
            await builder.build(AREA)
            await builder.remove("area")
            assert kinds(host) == {"calculator": "builtin"}
            assert await node.database.read(rows.everything) == []
            for name in ("area", "calculator"):
                with pytest.raises(BuiltToolUnknown):
                    await builder.remove(name)
            assert kinds(host) == {"calculator": "builtin"}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (BuildTool("calculator", "", {"x": ""}, "x"), "already"),
        (BuildTool("…", "", {"x": ""}, "x"), "no name"),
        (BuildTool("a", "", {}, "1"), "parameters"),
        (BuildTool("a", "", {"x": "", "y": ""}, "x"), "does not use y"),
        (BuildTool("a", "", {"x": ""}, "x + z"), "are allowed"),
        (BuildTool("a", "", {"x": "", "xz": ""}, "x + xz + zx"), "are allowed"),
        (BuildTool("a", "", {"x": ""}, "__import__('os')"), "are allowed"),
        (BuildTool("a", "", {"x": ""}, "x."), "not an arithmetic expression"),
        (BuildTool("a", "", {"x": ""}, "x.x"), "are allowed"),
        (BuildTool("a", "", {"x": ""}, "x(2)"), "are allowed"),
        (BuildTool("a", "", {"x": ""}, "x" * 300), "300 characters"),
        (BuildTool("a", "", {"lambda": ""}, "lambda"), "cannot be the name"),
        (BuildTool("a", "", {"sqrt": ""}, "sqrt"), "cannot be the name"),
        (BuildTool("a", "y" * 400, {"x": ""}, "x"), "description"),
        (BuildTool("a", "", {f"p{n}": "" for n in range(9)}, "1"), "1 to 8 parameters"),
        (BuildTool("a", "", {"x": ""}, "(" * 40 + "-x" + ")" * 40 + "-" * 40 + "1"), "nested"),
    ],
)
def test_what_can_be_no_tool_is_refused_and_nothing_is_kept(tmp_path: Path, wanted: BuildTool, says: str) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, host = new(node.database)
            refusal = builder.refusal(wanted)
            assert refusal is not None
            assert says in refusal
            with pytest.raises(FormulaRefused) as refused:
                await builder.build(wanted)
            assert "build a tool area(width, height)" in refused.value.hint
            assert await node.database.read(rows.everything) == []
            assert len(host.list()) == 1

    asyncio.run(main())


def test_how_many_are_built_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MAX_BUILT", 2)

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, _ = new(node.database)
            for name in ("a", "b"):
                await builder.build(BuildTool(name, "", {"x": ""}, "x"))
            with pytest.raises(TooManyBuilt):
                await builder.build(BuildTool("c", "", {"x": ""}, "x"))
            await builder.remove("a")
            await builder.build(BuildTool("c", "", {"x": ""}, "x"))

    asyncio.run(main())


def test_one_that_fits_no_longer_is_left_out_and_the_others_are_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            builder, _ = new(node.database)
            await builder.build(AREA)
            await builder.build(BuildTool("double", "", {"x": ""}, "2 * x"))
            again, host = new(node.database)

            async def run(given: Any) -> None: ...

            tool = Tool("area", "", {"type": "object"}, run)
            host.register(Plugin(name="walls", version="1", tools=(tool,), skills=calculator.plugin().skills))
            await again.load()
            assert kinds(host) == {"area": "builtin", "calculator": "builtin", "double": "built"}
            assert len(await node.database.read(rows.everything)) == 2

    asyncio.run(main())


def test_names_are_made_plain() -> None:
    assert plain_name(" body mass/index ") == "body_mass_index"
    assert plain_name("../../etc") == "etc"
    assert len(plain_name("x" * 100)) == building.MAX_NAME_CHARS


@given(st.text(max_size=80))
def test_a_plain_name_is_one_that_the_host_takes_or_empty(name: str) -> None:
    made = plain_name(name)
    assert all(char.isascii() and (char.isalnum() or char in "_-") for char in made)
    assert not made or made[0] not in "_-"
    assert plain_name(made) == made


def drafted(said: Any) -> BuildTool | str:
    text = said if isinstance(said, str) else json.dumps(said)
    engine = ScriptedEngine(script=lambda _: text, capable=True)
    return asyncio.run(draft(engine, Question("Make a tool for the area of a wall")))


def test_a_model_drafts_the_formula() -> None:
    said = {
        "name": "area",
        "description": "The area of a wall.",
        "parameters": [{"name": "width", "about": "in metres"}, {"name": "height", "about": "in metres"}],
        "expression": "width * height",
    }
    assert drafted(said) == AREA
    power = drafted({**said, "expression": "width ^ 2 * height"})
    assert isinstance(power, BuildTool)
    assert power.expression == "width ** 2 * height"


def test_a_model_that_is_gone_gives_words() -> None:
    engine = ScriptedEngine(closed=True)
    assert "did not answer" in str(asyncio.run(draft(engine, Question("x"))))
