"""A decider that follows a list, and tools whose effects are lines in a file: what the tests of durable jobs share."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

from identity.keys import KeyPair
from node.mind.actions import Action, Recall, Respond, Situation
from node.mind.deciding.deciding import Decision
from plugins.sdk import Tool, tool
from tests.node.mind.assembly import Mind

Hold = Callable[[str], Awaitable[None]]
"""Called at each named point, where a test may stop for ever."""


async def go_on(point: str) -> None:
    """Nothing is held."""


class ListedActions:
    """Recall, then these actions, one for each step, then the answer."""

    def __init__(self, *actions: Action, hold: Hold = go_on) -> None:
        self._actions = actions
        self._hold = hold
        self._most: dict[str, int] = {}

    async def decide(self, situation: Situation, *, session_id: str | None = None) -> Decision:
        most = self._most.setdefault(situation.goal, 8)
        taken = most - situation.steps_left
        await self._hold(f"deciding {taken}")
        if situation.looping or situation.denied or situation.depth:
            return Decision(Respond(), "rule", "stopped")
        if taken == 0:
            return Decision(Recall(situation.goal), "rule", "first")
        following = self._actions[taken - 1] if taken <= len(self._actions) else Respond()
        return Decision(following, "rule", "listed")


def script(mind: Mind, *actions: Action, hold: Hold = go_on) -> None:
    """Have a mind follow a list."""
    mind.executive._pursuing._decider = ListedActions(*actions, hold=hold)  # type: ignore[assignment]


def file_tools(folder: Path, hold: Hold = go_on) -> tuple[Tool, ...]:
    """`strike` acts, `sign` acts in the owner's name, `look` only looks. Each leaves a line in its file."""

    def line(name: str, text: str) -> None:
        with (folder / name).open("a") as file:
            file.write(text + "\n")

    @tool(description="Strikes.")
    async def strike(at: str = "it") -> str:
        await hold("before strike")
        line("strike", at)
        await hold("after strike")
        return f"struck {at}"

    @tool(description="Signs.", owner_only=True)
    async def sign(what: str = "it") -> str:
        await hold("before sign")
        line("sign", what)
        await hold("after sign")
        return f"signed {what}"

    @tool(description="Looks.", effect="none")
    async def look(at: str = "it") -> str:
        line("look", at)
        await hold("after look")
        return f"saw {at}"

    return strike, sign, look


def lines(folder: Path, name: str) -> list[str]:
    """What a tool did."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


FACT = "flour mill tonnes two"


def other_keys(seed: bytes) -> KeyPair:
    """The key of the twin beside the one with this seed."""
    return KeyPair(sha256(seed).digest())


async def befriend(mind: Mind, other: Mind) -> None:
    """The two name each other and are connected; the other knows a fact."""
    await mind.node.name(other.node)
    await other.node.name(mind.node)
    await mind.node.dial(other.node)
    if not (await other.memory.list(kind="semantic")).items:
        await other.remember(FACT)


def say(line: str) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def forever(point: str) -> None:
    """Say where this is, and stay there."""
    say(f"at {point}")
    await asyncio.Event().wait()
