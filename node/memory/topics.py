"""What a twin can be asked about, from what it shares: tags first, then the words that most of it is about.

Pure. The caller passes shared memories and nothing else: topics are told to the whole swarm.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from protocols import fields
from protocols.limits import MAX_TOPIC_CHARS, MAX_TOPICS

MIN_WORD_CHARS: Final = 3

_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
"""Letters of any script, with inner hyphens. What holds digits, '@' or '/' is a number, a key or an address."""

_AROUND: Final = string.punctuation + "“”„‘’‚«»…–—¿¡"
_POSSESSIVE: Final = re.compile(r"['’]s$")

_MAX_WORD_CHARS: Final = 24
"""Longer runs of letters are identifiers or encoded bytes more often than words."""

_STOP_TEXT: Final = """
about above after again against all almost along already also although always among and another any anyone anything
are around away back because been before being below between both but came can cannot come could did does doing done
down during each either else enough even ever every everyone everything few first five for found four from gave get
gets give given gives goes going gone good got great had has have having her here hers herself him himself his how
however into its itself just keep kept know known last least less let like long made make makes many may maybe mine
more most much must need needs never new next nine none nor not nothing now off often old once one only other others
our ours out over own people per perhaps put quite rather really said same say says second see seen seven several
shall she should since six some someone something still such take taken takes ten than that the their them then there
these they thing things third this those though three through time times together too took two under until upon use
used uses using very want wants was way well went were what when where whether which while who whole whose why will
with within without would yes yet you your yours
"""
_STOP_WORDS: Final = frozenset(_STOP_TEXT.split())


def topics_of(memories: Iterable[tuple[Sequence[str], str]]) -> tuple[str, ...]:
    """At most MAX_TOPICS topics, the weightiest first, from (tags, content) of shared memories.

    Tags by the number of memories that carry them; then words by the number of memories they stand in, the longer
    word first among equals. Lower case, no topic twice, the same memories in any order give the same topics.
    """
    tags: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for labels, content in memories:
        tags.update({topic for label in labels if (topic := _as_topic(label))})
        words.update(_words(content))
    ranked = [tag for tag, _ in sorted(tags.items(), key=lambda item: (-item[1], item[0]))]
    ranked += [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], -len(item[0]), item[0]))]
    return tuple(dict.fromkeys(ranked))[:MAX_TOPICS]


def _as_topic(label: str) -> str:
    # Cut first by characters, then strip: no topic ends in the space at which it was cut.
    return " ".join(fields.clean(_lower(label)).split())[:MAX_TOPIC_CHARS].strip()


def _words(content: str) -> set[str]:
    tokens = {_POSSESSIVE.sub("", token.strip(_AROUND)) for token in _lower(content).split()}
    return {
        token
        for token in tokens
        if MIN_WORD_CHARS <= len(token) <= _MAX_WORD_CHARS and _WORD.fullmatch(token) and token not in _STOP_WORDS
    }


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())
