"""The twin's voice: who it is by its namespace `soul`, and how its mood shapes what it says.

The owner writes the soul: memories there with the tag `name`, `style` or `constraint` are what these words say, all
others are who the twin is. Another twin is told the name alone.
"""

from dataclasses import dataclass
from typing import Final

from node.memory.memory import Memory
from node.memory.noticing import OWNERS_NAME
from node.memory.told import MY_NAME_IS

SOUL: Final = "soul"

MAX_NAME_CHARS: Final = 80

MAX_SOUL_ITEMS: Final = 32
"""Memories of the soul that are read: who needs more words than that to say who the twin is writes them into one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks, and for whom: `owner` is what the owner is called, where they have said so."""

    name: str
    persona: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    owner: str | None = None

    def in_public(self) -> "Identity":
        """What another twin may know of it."""
        return Identity(self.name)

    def in_words(self) -> str:
        """The identity as a system prompt states it."""
        owner = "your owner" if self.owner is None else f"your owner {self.owner}"
        lines = [f"You are {self.name}, the digital twin of {owner}, to whom you say “you”."]
        lines += self.persona
        if self.style:
            lines.append(f"How you speak: {' '.join(self.style)}")
        if self.constraints:
            lines.append(f"What you never do, whoever asks: {' '.join(self.constraints)}")
        return "\n".join(" ".join(line.split()) for line in lines)


class Voice:
    """The identity as the soul has it now."""

    def __init__(self, name: str, memory: Memory) -> None:
        self._name = name
        self._memory = memory

    async def identity(self) -> Identity:
        """Read the soul, the oldest first. An empty one gives the twin's name."""
        items = list((await self._memory.list(limit=MAX_SOUL_ITEMS, namespace=SOUL)).items)[::-1]

        def tagged(tag: str) -> tuple[str, ...]:
            return tuple(item.content for item in items if tag in item.tags)

        named = tagged("name")
        persona = tuple(item.content for item in items if not {"name", "style", "constraint"}.intersection(item.tags))
        return Identity(
            name=named[-1] if named else self._name,
            persona=persona,
            style=tagged("style"),
            constraints=tagged("constraint"),
            owner=await self._owner(),
        )

    async def _owner(self) -> str | None:
        """What the owner said last that they are called."""
        told = (await self._memory.list(limit=1, source=OWNERS_NAME)).items
        name = told[0].content.removeprefix(MY_NAME_IS) if told else ""
        return name[:MAX_NAME_CHARS] or None
