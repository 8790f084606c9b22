"""Perceiving a goal: what it says, what in it must not leave this machine, how it sounds, how it tries to deceive.

Pure, and in time that grows with the text alone. What is found is found by shape, checksum and the words before it:
docs/ethics.md says how often that is right. Nothing here is a proof that a text holds no secret.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final, Self

from node.mind.perceiving.feeling import feeling
from node.mind.perceiving.personal_spans import personal_spans
from node.mind.perceiving.secret_spans import secret_spans
from node.mind.perceiving.spans import Span, apart, named, outside
from node.mind.perceiving.unicode_tricks import plain

MAX_PERCEIVED_CHARS: Final = 1_048_576
"""A million characters; what is longer is cut here. Goals have a smaller bound of their own, files are not goals."""


@dataclass(frozen=True, slots=True)
class Perceived:
    """A text, and what it is made of.

    `text` is normalised; `secrets` and `personal` are spans of it. `redacted` is what may leave this machine (to other
    twins, playbooks, providers that see nothing private): it has names like `[api key 1]` for both. `mood` and
    `activation` (0 to 1) are how it sounds. `tricks` are the names of what was hidden in it.
    """

    text: str
    redacted: str
    secrets: tuple[Span, ...] = ()
    personal: tuple[Span, ...] = ()
    mood: str = "neutral"
    activation: float = 0.0
    tricks: tuple[str, ...] = ()
    was_cut: bool = False
    _names: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def is_private(self) -> bool:
        """Whether something in it must not leave this machine."""
        return bool(self.secrets or self.personal)

    def restore(self, text: str) -> str:
        """`text`, made from `redacted`, with the names replaced by what they stand for: for tools on this machine."""
        for name, words in self._names:
            text = text.replace(name, words)
        return text

    def as_part_of(self, whole: Self) -> Self:
        """The same, and what must not leave of the text that it is a part of: what says that it must not may stand in
        another part."""
        kinds = {whole.text[span.start : span.end]: (span.kind, span in whole.secrets) for span in whole.spans}
        found = [
            (Span(match.start(), match.end(), kind), is_secret)
            for words, (kind, is_secret) in kinds.items()
            for match in re.finditer(re.escape(words), self.text)
        ]
        secrets = apart((*self.secrets, *(span for span, is_secret in found if is_secret)))
        personal = outside(secrets, apart((*self.personal, *(span for span, is_secret in found if not is_secret))))
        redacted, names = named(self.text, apart((*secrets, *personal)))
        return replace(self, redacted=redacted, secrets=secrets, personal=personal, _names=names)

    @property
    def spans(self) -> tuple[Span, ...]:
        """All that must not leave, in order."""
        return apart((*self.secrets, *self.personal))

    @classmethod
    def plain(cls, text: str) -> Self:
        """A text of our own, in which nothing is looked for."""
        return cls(text, text)


def perceive(text: str) -> Perceived:
    """Look at a text that a person, a file or another twin wrote."""
    read, tricks = plain(text[:MAX_PERCEIVED_CHARS])
    secrets = apart(secret_spans(read))
    personal = outside(secrets, apart(personal_spans(read)))
    redacted, names = named(read, apart((*secrets, *personal)))
    mood, activation = feeling(read)
    return Perceived(
        read, redacted, secrets, personal, mood, activation, tricks, len(text) > MAX_PERCEIVED_CHARS, names
    )
