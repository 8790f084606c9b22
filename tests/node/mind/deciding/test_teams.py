import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did
from node.mind.deciding.teams import MAX_CANDIDATES, Teams, TeamTemplate, team_for, template_for
from node.swarm import KnownTwin
from tests.node.memory.fake import WordEmbedder
from tests.node.mind.assembly import ListedTwins, open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_did, open_node

EMBEDDER = WordEmbedder(dimensions=1024)
ANNA, BERT, CARL = new_did(), new_did(), new_did()


def twin(did: Did, *topics: str, reputation: float = 0.0, capabilities: tuple[str, ...] = ()) -> KnownTwin:
    return KnownTwin(did, "a twin", (), capabilities, topics, 0, True, reputation)


def assigned(parts: list[str], *twins: KnownTwin, **options: object) -> list[Did]:
    return [one.did for one in team_for(parts, twins, embedder=EMBEDDER, **options).assignments]  # type: ignore[arg-type]


def test_each_part_goes_to_whom_it_is_like() -> None:
    team = team_for(
        ["flour mill", "tide tables", "opera"], [twin(ANNA, "tide tables"), twin(BERT, "flour mill")], embedder=EMBEDDER
    )
    assert [(one.part, one.did) for one in team.assignments] == [("flour mill", BERT), ("tide tables", ANNA)]
    assert team.alone == ("opera",)
    assert team_for(["opera"], [], embedder=EMBEDDER).alone == ("opera",)


def test_a_capability_counts_like_a_topic() -> None:
    assert assigned(["tool use"], twin(ANNA, capabilities=("tool_use",))) == [ANNA]


def test_standing_and_load_decide_between_those_who_fit() -> None:
    twins = (twin(ANNA, "flour mill", reputation=0.2), twin(BERT, "flour mill", reputation=0.9))
    assert assigned(["flour mill"], *twins) == [BERT]
    assert assigned(["flour mill"], *twins, load={BERT: 3}) == [ANNA]
    assert set(assigned(["flour mill", "mill flour"], *twins)) == {ANNA, BERT}


@pytest.mark.parametrize("topic", ["flour mill", "mill of corn and rye"])
def test_whoever_is_not_like_enough_gets_nothing(topic: str) -> None:
    assert bool(assigned(["flour mill"], twin(ANNA, topic))) is (topic == "flour mill")


def test_members_of_a_team_that_did_well_go_first_among_equals() -> None:
    twins = (twin(ANNA, "flour mill"), twin(BERT, "flour mill"))
    for usual in (ANNA, BERT):
        template = TeamTemplate("millers", (usual,), ("flour mill",))
        assert assigned(["flour mill"], *twins, template=template) == [usual]


def test_how_many_are_compared_is_bounded_and_standing_decides_who() -> None:
    crowd = [twin(new_did(), "flour mill") for _ in range(MAX_CANDIDATES + 5)]
    known = twin(ANNA, "flour mill", reputation=0.8)
    assert assigned(["flour mill"], *crowd, known) == [ANNA]


def test_the_template_that_is_like_the_goal_is_taken_and_odd_ones_are_passed_over() -> None:
    templates = {
        "millers": [{"did": ANNA, "topics": ["flour mill"]}, {"did": BERT, "topics": ["bread"]}],
        "odd": "text",
        "worse": [{"did": "nobody", "topics": ["flour mill"]}],
        "worst": [7],
        "empty": [],
        "silent": [{"did": CARL, "topics": []}],
    }
    found = template_for("flour mill", templates, embedder=EMBEDDER)
    assert found == TeamTemplate("millers", (ANNA, BERT), ("flour mill", "bread"))
    assert template_for("opera", templates, embedder=EMBEDDER) is None
    assert template_for("opera", {}, embedder=EMBEDDER) is None


def test_a_team_is_made_of_named_twins_that_are_there(tmp_path: Path) -> None:
    async def templates() -> Mapping[str, Any]:
        return {}

    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_node(swarm, tmp_path / "a") as node,
            open_node(swarm, tmp_path / "b") as named,
            open_node(swarm, tmp_path / "c") as stranger,
            open_node(swarm, tmp_path / "d") as away,
        ):
            await node.name(named, away)
            directory = ListedTwins()
            directory.add(node, "flour mill")
            directory.add(stranger, "flour mill")
            directory.add(away, "flour mill", online=False)
            teams = Teams(own=node.did, directory=directory, trust=node.trust, embedder=EMBEDDER, templates=templates)
            assert await teams.assigned("goal", ["flour mill"]) == {}
            directory.add(named, "flour mill", "bread")
            found = await teams.assigned("goal", ["flour mill", "opera"])
            assert {part: (one.did, one.topics) for part, one in found.items()} == {
                "flour mill": (named.did, ("flour mill", "bread"))
            }

    asyncio.run(main())


def test_the_parts_of_a_goal_are_shared_out_among_those_who_fit(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_mind(swarm, tmp_path / "a", max_asked=1) as mind,
            open_mind(swarm, tmp_path / "b") as one,
            open_mind(swarm, tmp_path / "c") as other,
        ):
            await mind.node.name(one.node, other.node)
            for helper in (one, other):
                await helper.node.name(mind.node)
                await mind.node.dial(helper.node)
                mind.directory.add(helper.node, "flour mill")
            result = await mind.pursue("find flour mill north; find flour mill south")
            (step,) = [step for step in result.steps if step.action == "decompose"]
            assert step.output is not None
            asked = []
            for part in step.output["parts"]:
                job = await mind.jobs.get(part["job_id"])
                asked.append([step.input["did"] for step in job.steps if step.action == "ask_twin"])
            assert sorted(asked) == sorted([[one.node.did], [other.node.did]])

    asyncio.run(main())
