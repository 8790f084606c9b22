"""Which of the model's slots a request gets, so that a chat that goes on finds its words still there.

A slot keeps what it read last. llama.cpp's own choice takes the slot with the longest common beginning, so two chats
under one system prompt take turns in one slot and each is read again every time (docs/decisions/engine.md). Pure.
"""

from dataclasses import dataclass, field

LOSS_WEIGHT = 3
"""How much worse it is to lose a word of another chat than to read one again: that chat may go on for long."""

OWN_LOSS_WEIGHT = 0.25
"""The same for a word of the session's own: what was recalled for the last turn is of no more use, but a prompt of
another kind, such as the choice of a tool, must not take the place of the whole conversation."""


@dataclass(slots=True)
class _Slot:
    prompt: str = ""
    session: str | None = None
    used: int = 0
    busy: bool = False


@dataclass(slots=True)
class Slots:
    """The slots of one model, by number. Whoever takes one gives it back; there are never more takers than slots."""

    count: int
    _slots: list[_Slot] = field(init=False)
    _taken: int = 0

    def __post_init__(self) -> None:
        self._slots = [_Slot() for _ in range(self.count)]

    def take(self, prompt: str, session: str | None = None) -> int:
        """The slot for a request: the free one that spares most reading, less what another chat would lose by it; where
        none spares anything the one that was not used for longest."""
        free = [slot for slot in self._slots if not slot.busy]
        best = max(free, key=lambda slot: (_gain(slot, prompt, session), -slot.used))
        if _gain(best, prompt, session) <= 0:
            best = min(free, key=lambda slot: slot.used)
        self._taken += 1
        best.prompt, best.session, best.used, best.busy = prompt, session, self._taken, True
        return self._slots.index(best)

    def give_back(self, number: int) -> None:
        """The request in this slot has ended; what it read stays."""
        self._slots[number].busy = False


def _gain(slot: _Slot, prompt: str, session: str | None) -> float:
    """The characters that need not be read again in this slot, less what is lost there."""
    common = _common(slot.prompt, prompt)
    own = session is not None and slot.session == session
    return common - (OWN_LOSS_WEIGHT if own else LOSS_WEIGHT) * (len(slot.prompt) - common)


def _common(one: str, other: str) -> int:
    """The length of the common beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low
