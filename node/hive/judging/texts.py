"""Every text of a revision, with where it stands in words: what red lines are looked for in. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from node.red_lines.red_lines import Texts
from protocols.playbook.keys import split_key
from protocols.playbook.ops import Add, Op, Set, write_op
from protocols.playbook.revision import Revision

_KINDS: Final = {
    "add": "a bullet",
    "set": "the setting",
    "tool": "the tool",
    "template": "the template",
    "metric": "the metric",
}

ETHICS: Final = "ethics"
"""The table of settings that says what the twin may not do."""

_REFERENCE: Final = re.compile(r"[a-z]{1,16}:[A-Za-z0-9._:-]+")
"""`job:` or `thread:` and an id: one word, and no sentence."""


def texts_of(revision: Revision) -> Texts:
    """The critique, the evidence in words, and each operation: all that one says, on lines of its own.

    What one operation says is one text, so that a sentence does not get past by being divided among its members.
    Kept apart, for rules alone, are references, and operations with their headings of one word: neither is a sentence.
    """
    evidence = [("the evidence", item) for item in revision.evidence if isinstance(item, str)]
    references = [each for each in evidence if _REFERENCE.fullmatch(each[1])]
    texts = [("the critique", revision.critique), *(each for each in evidence if each not in references)]
    for op in revision.ops:
        body = write_op(op)
        kind = str(body.pop("op"))
        body.pop("id", None)
        strings = [text for value in body.values() for text in _strings(value)]
        if not any(strings) or kind not in _KINDS:
            continue
        name = body.get("key") or body.get("name")
        where = f"{_KINDS[kind]} {name!r}" if name else _KINDS[kind]
        headings = _headings(op)
        texts.append((where, "\n".join(text for text in strings if text not in headings)))
        if headings:
            references.append((where, "\n".join(strings)))
    return Texts([(where, text) for where, text in texts if text], references)


def _headings(op: Op) -> frozenset[str]:
    """The section and the tags of a bullet, as far as they are single words."""
    named = (op.section, *op.tags) if isinstance(op, Add) else ()
    return frozenset(text for text in named if len(text.split()) == 1 and text.isidentifier())


def ethics_changed(op: Op) -> bool:
    """Whether an operation changes, or takes out, a setting of the twin's ethics."""
    return isinstance(op, Set) and split_key(op.key)[0].casefold() == ETHICS


def _strings(value: Any) -> Iterator[str]:
    """Every text in a value, keys included: a tool's description and the names of its parameters alike."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
