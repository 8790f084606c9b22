import asyncio
from pathlib import Path

import pytest

from node.mind.deciding.router import MAX_KEPT, MAX_TOOLS, Router, clauses_of, skills_from, texts_of
from plugins.builtin import calculator, clock
from plugins.host import PluginHost, ToolInfo
from plugins.sdk import Plugin, Tool
from tests.node.memory.fake import WordEmbedder


def info(name: str, description: str = "", **parameters: str) -> ToolInfo:
    properties = {one: {"type": "string", "description": about} for one, about in parameters.items()}
    return ToolInfo(name, description, {"type": "object", "properties": properties}, f"plugin-{name}", "builtin", "ok")


TOOLS = (
    info("bus_times", "when buses leave a stop", stop="name of the halt"),
    info("find_recipe", "search the cookbook"),
    info("tide_table", "high water and low water"),
    info("switch_lamp", "light"),
)


def names(router: Router, goal: str, **options: int) -> list[str]:
    return [one.info.name for one in asyncio.run(router.route(goal, TOOLS, **options))]


def new_embedder() -> WordEmbedder:
    return WordEmbedder(dimensions=1024)


def test_the_tools_that_fit_best_come_first_and_are_few() -> None:
    router = Router(new_embedder())
    assert names(router, "when do buses leave")[0] == "bus_times"
    assert len(names(router, "when do buses leave")) == 3
    assert names(router, "search the cookbook", top=1) == ["find_recipe"]
    assert asyncio.run(router.route("anything", ())) == ()


@pytest.mark.parametrize(
    ("goal", "name"),
    [("switch lamp", "switch_lamp"), ("name of the halt", "bus_times"), ("moon phases", "tide_table")],
    ids=["its name", "a parameter", "its SKILLS.md"],
)
def test_a_tool_is_known_by_all_its_texts(goal: str, name: str) -> None:
    router = Router(new_embedder(), lambda one: "moon phases" if one.name == "tide_table" else "")
    assert names(router, goal)[0] == name


def test_each_clause_of_a_goal_brings_its_tool() -> None:
    goal = "high water and low water please, then search the cookbook"
    assert set(names(Router(new_embedder()), goal, top=2)) == {"tide_table", "find_recipe"}
    assert clauses_of("one thing only") == ("one thing only",)


def test_texts_are_embedded_once_and_again_for_another_embedder() -> None:
    embedder = new_embedder()
    router = Router(embedder)
    names(router, "buses")
    before = embedder.embedded
    names(router, "buses")
    assert embedder.embedded == before + 1  # the goal
    embedder.model_id = "another"
    names(router, "buses")
    assert embedder.embedded > before + 2


def test_what_is_kept_and_compared_is_bounded() -> None:
    many = [info(f"tool_{number}", f"thing {number}") for number in range(MAX_TOOLS + 50)]
    router = Router(WordEmbedder(dimensions=8))
    for version in range(8):
        renamed = [info(f"{one.name}_{version}", one.description) for one in many]
        asyncio.run(router.route("thing 7", renamed))
        assert len(router._vectors) <= MAX_KEPT
    last = info("last", "quite unlike the others")
    assert "last" not in {one.info.name for one in asyncio.run(router.route(last.description, [*many, last]))}


def test_skills_are_the_lines_that_name_the_tool(tmp_path: Path) -> None:
    host = PluginHost()
    host.register(calculator.plugin())
    host.register(clock.plugin(lambda: pytest.fail("nobody asks")))
    skills = skills_from(host.plugins)
    by_name = {one.name: skills(one) for one in host.list()}
    assert "3 * (17 + 4.5) / 2" not in by_name["clock"]
    assert by_name["clock"].startswith("clock the goal asks what day or time it is")
    assert "|" not in by_name["calculator"]

    file = tmp_path / "SKILLS.md"
    file.write_text("`lost` finds things")

    async def run(given: object) -> None: ...

    host.register(Plugin(name="lost", version="1", tools=(Tool("lost", "", {"type": "object"}, run),), skills=file))
    lost = next(one for one in host.list() if one.name == "lost")
    file.unlink()
    assert skills(lost) == ""


def test_a_tool_with_an_odd_schema_is_known_by_what_else_it_has() -> None:
    odd = ToolInfo("odd_one", "says", {"type": "object", "properties": {"x": True, "y": []}}, "p", "mcp", "ok")
    assert texts_of(odd, "") == ("odd one. says", "x; y")
