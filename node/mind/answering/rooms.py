"""Sharing out the tokens of a prompt: each part takes what it needs, up to its share of the whole. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from node.inference.engine import ChatTurn
from node.mind.answering.fencing import cut

TURN_TOKENS: Final = 8
"""What a chat template writes around one turn, at most."""

_DIGIT: Final = re.compile(r"[0-9]")
_SIGN: Final = re.compile(r"[!-/:-@\[-`{-~]")


def tokens_of(text: str) -> int:
    """About how many tokens a text has, rather too many: by the tokenizer of the bundled model, which spells digits and
    rare letters. From 0.9 of the truth (German, emoji) to 1.2 (source code)."""
    digits, signs = len(_DIGIT.findall(text)), len(_SIGN.findall(text))
    size = len(text.encode(errors="replace"))
    rare = size - len(text.encode("ascii", errors="ignore"))
    return int((size - rare - digits - signs) / 3.5 + 1.3 * digits + 0.8 * signs + 0.75 * rare) + 1


class Rooms:
    """The tokens of one prompt. Parts are served in the order in which they come."""

    def __init__(self, tokens: int) -> None:
        self._all = max(0, tokens)
        self.free = self._all
        self.taken: dict[str, int] = {}
        self.left_out: dict[str, int] = {}

    def text(self, part: str, text: str, share: float) -> str:
        """A text of our own: it stays out whole where it does not fit."""
        if not text:
            return ""
        return text if self._take(part, tokens_of(text), share) else self._out(part, 1)

    def cut_text(self, part: str, text: str, share: float) -> str:
        """A text that must go in: its middle is left out where it does not fit, and how many characters is counted."""
        room = min(self.free, int(self._all * share))
        whole, chars = text, len(text)
        while tokens_of(text) > room and chars > 64:
            chars = min(chars - 1, chars * room // tokens_of(text))
            text = cut(whole, max(64, chars))
        if text != whole:
            self.left_out_of(part, len(whole) - len(text))
        self.taken[part] = tokens_of(text)
        self.free = max(0, self.free - self.taken[part])
        return text

    def items(self, part: str, items: Sequence[str], share: float) -> list[str]:
        """The items that fit whole, in their order."""
        kept = [item for item in items if self._take(part, tokens_of(item) + 1, share)]
        self.left_out_of(part, len(items) - len(kept))
        return kept

    def newest(self, part: str, turns: Sequence[ChatTurn]) -> tuple[ChatTurn, ...]:
        """The newest turns that fit into what is left, whole; the first of them is the owner's."""
        kept: list[ChatTurn] = []
        for turn in reversed(turns):
            if not self._take(part, tokens_of(turn.content) + TURN_TOKENS, 1.0):
                break
            kept.insert(0, turn)
        while kept and kept[0].role != "user":
            del kept[0]
        self.left_out_of(part, len(turns) - len(kept))
        return tuple(kept)

    def left_out_of(self, part: str, count: int) -> None:
        """Count what does not go in."""
        if count:
            self.left_out[part] = self.left_out.get(part, 0) + count

    def _take(self, part: str, tokens: int, share: float) -> bool:
        taken = self.taken.get(part, 0)
        if tokens > self.free or taken + tokens > self._all * share:
            return False
        self.taken[part] = taken + tokens
        self.free -= tokens
        return True

    def _out(self, part: str, count: int) -> str:
        self.left_out_of(part, count)
        return ""
