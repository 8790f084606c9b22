"""The twin's voice: who it is by its namespace `soul`, and how its mood shapes what it says.

The owner writes the soul: memories there with the tag `name`, `style` or `constraint` are what these words say, all
others are who the twin is. Another twin is told the name alone.
"""

from dataclasses import dataclass
from typing import Final

from node.memory.memory import Memory

SOUL: Final = "soul"

MAX_SOUL_ITEMS: Final = 32
"""Memories of the soul that are read: who needs more words than that to say who the twin is writes them into one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks."""

    name: str
    persona: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    def in_public(self) -> "Identity":
        """What another twin may know of it."""
        return Identity(self.name)

    def in_words(self) -> str:
        """The identity as a system prompt states it."""
        lines = [f"You are {self.name}, the digital twin of your owner, to whom you say “you”."]
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
        return Identity(named[-1] if named else self._name, persona, tagged("style"), tagged("constraint"))
