"""Text as it reads, whatever letters it is written in: what red lines are compared by. Pure.

Whoever wants to get a phrase past a list writes it with Cyrillic letters, zero-width spaces, digits for letters, dots
between them. Both sides are brought to the same skeleton, so it matters little how a text looks, only what it says.
This is no proof against every disguise: what is said in other words is for the comparison by meaning.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

MAX_GAP: Final = 2
"""Words that may stand between two words of a phrase: "reveal [all your] keys"."""

_FILLERS: Final = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Characters that show nothing and are of no category that says so."""

_LOOKS: Final = {
    "a": "аαɑᴀ", "b": "вβьʙ", "c": "сϲᴄ", "d": "ԁᴅɗ", "e": "еεєҽᴇ", "f": "ꜰƒ", "g": "ɡԍɢ", "h": "һнʜ",
    "i": "іιıɪӏl1|ʟɩ", "j": "јʝᴊ", "k": "кκᴋ", "m": "мᴍ", "n": "пηɴո", "o": "оοσᴏ0օ", "p": "рρᴘ", "q": "ԛ",
    "r": "гʀ", "s": "ѕꜱ5$", "t": "тτᴛ7", "u": "υᴜսц", "v": "ѵνᴠ", "w": "ԝωшᴡѡ", "x": "хχ", "y": "уγүʏ", "z": "ᴢ",
}  # fmt: skip
"""What is taken for a Latin letter. `l` and `i` are one letter here, as they are to the eye; so are `0` and `o`."""

_DIGITS: Final = {"3": "e", "4": "a", "@": "a"}
_TABLE: Final = str.maketrans({look: letter for letter, looks in _LOOKS.items() for look in looks} | _DIGITS)

_BOXED: Final = {
    start + n: chr(ord("a") + n) for start in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6) for n in range(26)
} | dict.fromkeys(map(ord, _FILLERS))

_WORD: Final = re.compile(r"[^\W_]+")
_INSIDE: Final = re.compile(r"[\W_]")
_MASKED: Final = re.compile(r"(?<=\w)[@$|](?=[\w@$|])")
_RUN: Final = re.compile(r"\S+")
_LETTER: Final = re.compile(r"[^\W\d_]")
_ENDINGS: Final = tuple(ending.translate(_TABLE) for ending in ("ing", "ed", "es", "s"))

_WORDS_KEPT: Final = 16_384
"""Words whose forms are remembered: the vocabulary of a language, and most texts are made of little more."""

_LONGEST_KEPT: Final = 40
"""Letters of such a word: what is longer is no word of a language, and would fill the memory."""


def reading(text: str) -> str:
    """The text in small letters of one alphabet each, without marks and what cannot be seen. Digits stay digits."""
    if text.isascii():
        return text.casefold()
    spread = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text.translate(_BOXED)).casefold())
    return "".join(char for char in spread if unicodedata.category(char) not in ("Mn", "Cf", "Me"))


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is looked for: its words without endings, and its letters without spaces."""

    words: tuple[str, ...]
    letters: str

    @classmethod
    def of(cls, text: str) -> Self:
        """A phrase as the owner wrote it."""
        words = [_word(word) for word in _WORD.findall(_masked(reading(text)))]
        stems = tuple(_stem(word) for word in words)
        return cls(stems, "".join((*words[:-1], *stems[-1:])))


class Readable:
    """A text to look for phrases in, read in every way that a person might read it."""

    def __init__(self, text: str) -> None:
        read = reading(text)
        plain = [_word(word) for word in _WORD.findall(_masked(read))]
        # Read once more with what stands inside a word left out: pri.vate, k-e-y, pa$$word.
        closed = [_word(run if run.isalnum() else _INSIDE.sub("", _masked(run))) for run in _RUN.findall(read)]
        spelt = [_put_together(words) for words in (plain, closed)]
        different = {tuple(words) for words in (plain, closed, *(words for words, _ in spelt))}
        self._readings = [[_stem(word) for word in words] for words in different]
        self._words = {word for words in self._readings for word in words}
        self._runs = [run for _, runs in spelt for run in runs]
        self._compact = "".join(plain)

    def has(self, phrase: Phrase) -> bool:
        """Whether the text has the words of the phrase in their order, with at most MAX_GAP others between two."""
        if not phrase.words:
            return False
        if any(unicodedata.category(char) == "Lo" for char in phrase.letters) and phrase.letters in self._compact:
            return True  # scripts without capitals are often written without spaces between words
        if any(phrase.letters in run for run in self._runs):
            return True
        if not self._words.issuperset(phrase.words):
            return False
        return any(_follows(words, phrase.words) for words in self._readings)


def _follows(words: Sequence[str], phrase: Sequence[str]) -> bool:
    places = {n for n, word in enumerate(words) if word == phrase[0]}
    for wanted in phrase[1:]:
        places = {
            n
            for place in places
            for n in range(place + 1, min(place + 2 + MAX_GAP, len(words)))
            if words[n] == wanted
        }  # fmt: skip
        if not places:
            return False
    return bool(places)


def _masked(text: str) -> str:
    """The signs that stand for letters inside words as those letters: `p@ssword`, `pa$$word`."""
    return _MASKED.sub(lambda match: match[0].translate(_TABLE), text)


def _word(word: str) -> str:
    """One word by its looks; a number stays a number."""
    return _looks(word) if len(word) <= _LONGEST_KEPT else _looks.__wrapped__(word)


def _stem(word: str) -> str:
    """Without the usual endings, so that keys are key and revealing is reveal."""
    return _without_ending(word) if len(word) <= _LONGEST_KEPT else _without_ending.__wrapped__(word)


@lru_cache(maxsize=_WORDS_KEPT)
def _looks(word: str) -> str:
    return word.translate(_TABLE) if _LETTER.search(word) else word


@lru_cache(maxsize=_WORDS_KEPT)
def _without_ending(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _put_together(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words with those that are spelt, three letters or more, put together; and these alone."""
    joined: list[str] = []
    runs: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:
        if len(word) == 1:
            run.append(word)
            continue
        if len(run) >= 3:
            runs.append("".join(run))
            run = runs[-1:]
        joined += [*run, word]
        run = []
    return joined, runs
