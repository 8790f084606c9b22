"""What each case of meta-learning is made of: it looks, it says what it found, it acts, and what it did can be undone.

A case decides by figures alone and knows nothing of who allows what: that is the meta-learner's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from storage.meta_learning import MetaAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that could be better. `about` says of what, so that the same is found once.

    `text` is what was found and `action` what would be done, each in a sentence for the owner. `measured` are figures,
    and `needs` is what `act` is to know; both are JSON. `harmless`: it changes a setting of this twin or writes a file
    of its own, so that it may be done unasked and taken back without a trace.
    """

    about: str
    text: str
    action: str
    measured: Mapping[str, float]
    needs: Mapping[str, Any] = field(default_factory=dict)
    harmless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was done, in a sentence. `undo` is what taking it back needs (see undoing.py); `trying`: it is compared."""

    text: str
    undo: Mapping[str, Any] = field(default_factory=dict)
    trying: bool = False


Outlook = Literal["keep", "revert"] | Taken
"""What a trial has shown. With a Taken it is kept, and something further was done."""


class Case(Protocol):
    """One of the ten."""

    @property
    def name(self) -> str:
        """The case's name, as `pagi learning` shows it."""
        ...

    async def look(self) -> Finding | None:
        """What should be acted on now; None if nothing, or if too little is known. Cheap: it only reads."""
        ...

    async def act(self, finding: Finding) -> Taken:
        """Do it. Raises PagiError if it cannot be done; then nothing has been."""
        ...

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Of an action that is being tried: whether it is kept; None while too little is known."""
        ...
