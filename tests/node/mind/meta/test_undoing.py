import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.mind.meta.errors import ActionFinal
from node.mind.meta.sharing import shared
from node.mind.meta.undoing import Undoing
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm


async def shown(mind: Mind) -> tuple[Any, ...]:
    playbook = await mind.hive.view("common")
    texts = sorted((bullet.section, bullet.text, bullet.tags) for bullet in playbook.bullets)
    return texts, dict(playbook.settings), dict(playbook.templates)


def test_a_revision_is_taken_back_by_another_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            old = {"op": "add", "section": "manners", "text": "name units", "tags": ["a"]}
            await mind.hive.propose("common", "why", [old, {"op": "set", "key": "tone", "value": "calm"}])
            before = await shown(mind)
            (bullet,) = (await mind.hive.view("common")).bullets
            ops: list[dict[str, Any]] = [
                {"op": "remove", "id": bullet.id},
                {"op": "add", "section": "manners", "text": "quote sources"},
                {"op": "set", "key": "tone", "value": "loud"},
                {"op": "set", "key": "new", "value": 1},
                {"op": "template", "name": "team", "body": ["one"]},
            ]
            undo = await shared(mind.hive, "common", "why", ops)
            assert await shown(mind) != before
            undoing, written = Undoing(mind.parts.tuning, mind.hive), []
            told = await undoing.undo(undo, also=lambda conn: written.append(1))
            assert "takes it back" in told
            assert await shown(mind) == before
            height = (await mind.hive.view("common")).height
            assert written
            # The rule that came back has another id; a second time there is nothing left but the settings.
            await undoing.undo({**undo, "ops": undo["ops"][:2]}, also=lambda conn: None)
            assert (await mind.hive.view("common")).height == height

    asyncio.run(main())


def test_a_red_line_and_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            line = await mind.hive.red_lines.add("phrase", "eat the seeds")
            undoing = Undoing(mind.parts.tuning, mind.hive)
            undo = {"red_lines": [line.id], "file": "/somewhere"}
            assert "the red line" in await undoing.undo(undo, also=lambda conn: None)
            assert line not in mind.hive.red_lines.lines
            assert "gone already; the file /somewhere is left" in await undoing.undo(undo, also=lambda conn: None)

    asyncio.run(main())


def test_of_a_setting_of_several_only_what_was_added_is_taken_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            tuning = mind.parts.tuning
            undoing = Undoing(tuning, mind.hive)
            shift = await tuning.put("load_shift", {"a": 0.2})
            await tuning.put("load_shift", {"a": 0.2, "b": 0.2})
            await undoing.undo({**shift}, also=lambda conn: None)
            assert tuning.get("load_shift") == {"b": 0.2}
            with pytest.raises(ActionFinal):
                await undoing.undo({**shift}, also=lambda conn: None)
            first = await tuning.put("harmless", ["one"])
            second = await tuning.put("harmless", ["two", "one"])
            await undoing.undo({**first}, also=lambda conn: None)
            assert tuning.get("harmless") == ["two"]
            await undoing.undo({**second}, also=lambda conn: None)
            assert tuning.get("harmless") is None
            trial = await tuning.put("trial", {"playbook": "mill", "cid": "a"})
            await tuning.put("trial", {"playbook": "mill", "cid": "b"})
            with pytest.raises(ActionFinal):
                await undoing.undo({**trial}, also=lambda conn: None)

    asyncio.run(main())
