"""What a text is about by its very words, and what a query asks for by them: quoted phrases, rare words.

An embedder averages: a code, a name or a number is lost in it. Common words are no reason to look by words, for that
finds what shares them and loses what means the same.
"""

import re
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

from storage import fulltext, memories

RARE_LEAST: Final = 3
RARE_MOST: Final = 500
RARE_ONE_IN: Final = 200
"""A word is rare if it stands in at most one memory in so many, but within these two numbers of memories."""

_ALL: Final = 1 << 40
_QUOTED: Final = re.compile(r'"([^"]+)"')
_FIRST_WORD: Final = re.compile(r"(?:^|[.!?]\s)\W*([^\s\"]+)")
_WORD: Final = re.compile(r"\d+(?:[.,:]\d+)*|\w+(?:[-/.]\w+)*")
_OF_ONESELF: Final = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours)\b", re.IGNORECASE)
_LEAST_CHARS: Final = 3
_STEM_CHARS: Final = 6
_COMMON: Final = frozenset(
    """
    about all also and any are assistant been but can could did does done for from get give had has have her here him
    his how into its just like may might more much must not now only other our out owner please said say she should show
    some such tell than that the their them then there these they this those too very was way well were what when where
    which who whom whose why will with would yes you your
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
    october november december
    """.split()  # noqa: SIM905 - eighty quoted words are harder to read
)


def content_words(text: str) -> frozenset[str]:
    """The words that carry the meaning, in lower case: three letters or more and not common, or with a digit."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        word for word in words if any(map(str.isdigit, word)) or (len(word) >= _LEAST_CHARS and word not in _COMMON)
    )


def coverage(wanted: frozenset[str], text: str) -> float:
    """Share of the stems that stand in a text, from 0 to 1; 0 where none is wanted."""
    return len(wanted & stems(text)) / len(wanted) if wanted else 0.0


def stems(text: str) -> frozenset[str]:
    """The beginnings of the content words: words that begin alike count as one, in any language that adds endings."""
    return frozenset(word.removesuffix("s").removesuffix("e")[:_STEM_CHARS] for word in content_words(text))


def of_oneself(text: str) -> bool:
    """Whether a text speaks of whoever says it."""
    return _OF_ONESELF.search(text) is not None


@dataclass(frozen=True, slots=True)
class Held:
    """What the query asks for by its words and a memory holds; `share` is of all that it asks for so."""

    words: tuple[str, ...]
    share: float


def holding(
    conn: Connection, query: str, *, kinds: Collection[str], namespaces: Collection[str] | None
) -> Mapping[int, Held]:
    """The memories, by `seq`, that hold what the query asks for by its words; see `asked_for`.

    Whether a word is rare is counted among the rows of these kinds and namespaces and no others: how a reader is
    answered must not depend on what it may not see. None stands for all namespaces.
    """
    terms = asked_for(query)
    if not terms:
        return {}
    found: dict[int, tuple[str, ...]] = {}
    rare = 0
    seen = None if namespaces is None else frozenset(memories.matching(conn, kinds=kinds, namespaces=namespaces))
    count = memories.newest_seq(conn) if seen is None else len(seen)
    most = min(RARE_MOST, max(RARE_LEAST, count // RARE_ONE_IN))
    for term in terms:
        rows = fulltext.rows_with(conn, term, most + 1 if seen is None else _ALL)
        if seen is not None:
            rows = [seq for seq in rows if seq in seen]
        if len(rows) <= most:  # also one that stands nowhere: what holds only the others is not what is asked for
            rare += 1
            for seq in rows:
                found[seq] = (*found.get(seq, ()), term)
    return {seq: Held(words, len(words) / rare) for seq, words in found.items()}


def asked_for(query: str) -> list[str]:
    """What a query asks for by its very words: phrases in quotes, codes and numbers, and names within a sentence."""
    quoted = set(_QUOTED.findall(query))
    starts = {match[1] for match in _FIRST_WORD.finditer(query)}
    return [
        term if term in quoted else term.strip(string.punctuation)
        for term in fulltext.terms_of(query)
        if term in quoted or _is_code(term) or (_is_name(term) and term not in starts)
    ]


def _is_code(term: str) -> bool:
    """A number of two digits or more, or letters and digits together."""
    return sum(map(str.isalnum, term)) >= 2 and any(map(str.isdigit, term))


def _is_name(term: str) -> bool:
    word = term.strip(string.punctuation)
    return len(word) >= _LEAST_CHARS and word[:1].isupper() and word.lower() not in _COMMON
