"""Changing a playbook so that it can be taken back. Others have a revision once it is made: what undoes it is another.

A rule that was taken out cannot come back as itself, for a removal wins for ever; it is added anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from identity.cid import Cid
from protocols.playbook.merge import Bullet, Playbook

ApiOp = dict[str, Any]


class Playbooks(Protocol):
    """What this needs of the hive."""

    async def view(self, name: str) -> Playbook: ...

    async def propose(self, name: str, critique: str, ops: Sequence[Mapping[str, Any]]) -> Cid: ...


async def shared(playbooks: Playbooks, name: str, critique: str, ops: Sequence[ApiOp]) -> Mapping[str, Any]:
    """Propose a revision of ours; what undoes it, for `Taken.undo`. Raises as `Hive.propose` does.

    A rule that is there already, as it is after a crash, is not added again; it is taken back all the same.
    """
    before = await playbooks.view(name)
    present = {_said(bullet) for bullet in before.bullets}
    wanted = {_added(op) for op in ops if op["op"] == "add"}
    if needed := [op for op in ops if op["op"] != "add" or _added(op) not in present]:
        await playbooks.propose(name, critique, needed)
    added = [bullet.id for bullet in (await playbooks.view(name)).bullets if _said(bullet) in wanted]
    inverse = [{"op": "remove", "id": bullet} for bullet in added]
    inverse += [undoing for op in ops if (undoing := _inverse(op, before)) is not None]
    return {"playbook": name, "ops": inverse}


def still_needed(ops: Sequence[ApiOp], now: Playbook) -> list[ApiOp]:
    """Of the operations that undo something, those that have something to undo."""
    texts = {bullet.text for bullet in now.bullets}
    return [
        op
        for op in ops
        if not (op["op"] == "remove" and now.bullet(op["id"]) is None)
        and not (op["op"] == "add" and op["text"] in texts)
    ]


def _said(bullet: Bullet) -> tuple[str, str, tuple[str, ...]]:
    return bullet.section, bullet.text, tuple(sorted(bullet.tags))


def _added(op: ApiOp) -> tuple[str, str, tuple[str, ...]]:
    return op["section"], op["text"], tuple(sorted(op.get("tags", ())))


def _inverse(op: ApiOp, before: Playbook) -> ApiOp | None:
    match op["op"]:
        case "set":
            return {"op": "set", "key": op["key"], "value": before.settings.get(op["key"])}
        case "template":
            return {"op": "template", "name": op["name"], "body": before.templates.get(op["name"])}
        case "remove":
            bullet = before.bullet(op["id"])
            if bullet is None:
                return None
            return {"op": "add", "section": bullet.section, "text": bullet.text, "tags": list(bullet.tags)}
        case _:
            return None
