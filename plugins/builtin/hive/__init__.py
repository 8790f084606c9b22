"""The built-in tools over the Git repository that people keep beside a playbook.

The repository is not known here: pulling and pushing are functions that the plugin is given.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins.sdk import Plugin, ToolError, tool


class Refused(Exception):
    """The repository cannot be used; the text says why, for whoever called the tool."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came in: the commit, the revisions that were made of it, and what of it was not taken."""

    commit: str
    revisions: Sequence[str]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What went out: the branch, and the revisions that it shows."""

    branch: str
    revisions: Sequence[str]


Pull = Callable[[], Awaitable[Pulled]]
"""Takes in what people merged. Raises Refused."""

Push = Callable[[], Awaitable[Pushed | None]]
"""Brings out what is new for review; None if nothing is. Raises Refused."""


def plugin(pull: Pull, push: Push) -> Plugin:
    """The plugin over a repository."""

    @tool(description="Takes in what people merged into the Git repository of the playbook.", owner_only=True)
    async def hive_pull() -> dict[str, object]:
        try:
            pulled = await pull()
        except Refused as error:
            raise ToolError(str(error)) from error
        return {
            "commit": pulled.commit,
            "revisions": list(pulled.revisions),
            "problems": list(pulled.problems),
        }

    @tool(description="Pushes what this twin learnt to the Git repository for review.", owner_only=True)
    async def hive_push() -> dict[str, object]:
        try:
            pushed = await push()
        except Refused as error:
            raise ToolError(str(error)) from error
        if pushed is None:
            return {"branch": None, "revisions": []}
        return {"branch": pushed.branch, "revisions": list(pushed.revisions)}

    return Plugin(
        name="hive", version="1.0.0", tools=(hive_pull, hive_push), skills=Path(__file__).with_name("SKILLS.md")
    )
