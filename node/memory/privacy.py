"""Who may be told of what: namespaces with their privacy, and what a reader may be given.

`private` never leaves this twin, `ask` leaves after the owner approved that very answer to that very twin, `shared`
may. Everything that feeds another twin passes `OtherTwin` to recall, and what is not usable for it is not even a
candidate: neither its words, nor its number, nor how rare its words are can be told from the answer.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from identity.did import Did
from node.memory.errors import PrivacyFixed
from node.memory.record import ASK, PRIVATE, SHARED, checked_namespace
from storage import namespaces
from storage.database import Database
from storage.namespaces import NamespaceRow, Privacy

__all__ = ["Audience", "Leave", "Namespaces", "NobodyAsked", "OtherTwin", "Owner", "Privacy", "Usable"]

_NAMED_FOR_THEIR_PRIVACY: Final = frozenset({PRIVATE, ASK, SHARED})


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of this twin, who may be told everything."""


@dataclass(frozen=True, slots=True)
class OtherTwin:
    """Another twin, or whoever is behind it."""

    did: Did


Audience = Owner | OtherTwin


@dataclass(frozen=True, slots=True)
class Usable:
    """The namespaces that may be used for an audience: at once, and after the owner's approval."""

    free: tuple[str, ...]
    after_approval: tuple[str, ...]


class Leave(Protocol):
    """The owner's approval for what `ask` namespaces hold."""

    async def given(self, did: Did, question: str) -> bool:
        """Whether the owner lets them be used in the answer to this very question of this twin."""
        ...

    async def left_out(self, did: Did, question: str) -> None:
        """Told when something that fits was left out for want of approval. The other twin never hears of it."""
        ...


class NobodyAsked:
    """A Leave that is never given: `ask` namespaces are private as long as nobody can approve."""

    async def given(self, did: Did, question: str) -> bool:
        """Never."""
        return False

    async def left_out(self, did: Did, question: str) -> None:
        """Nobody is told."""


class Namespaces:
    """The namespaces of one twin, as they stand in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[NamespaceRow]:
        """Every namespace that was described or that has a memory, by name."""
        return await self._database.read(namespaces.list_namespaces)

    async def set(self, name: str, privacy: Privacy) -> None:
        """Say who may be told of what is in a namespace. Raises BadMemory or PrivacyFixed."""
        checked_namespace(name)
        if name in _NAMED_FOR_THEIR_PRIVACY and name != privacy:
            raise PrivacyFixed(f"the namespace {name} stays {name}")
        await self._database.write(lambda conn: namespaces.set_privacy(conn, name, privacy))

    async def usable(self, audience: Audience) -> Usable:
        """What may be used for an audience."""
        match audience:
            case Owner():
                return Usable(tuple(row.name for row in await self.list()), ())
            case OtherTwin():
                return await self._database.read(
                    lambda conn: Usable(namespaces.with_privacy(conn, SHARED), namespaces.with_privacy(conn, ASK))
                )
