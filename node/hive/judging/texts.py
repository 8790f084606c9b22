"""Every text of a revision, with where it stands in words: what red lines are looked for in. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from protocols.playbook.keys import split_key
from protocols.playbook.ops import Op, Set, write_op
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


def texts_of(revision: Revision) -> list[tuple[str, str]]:
    """(where, text) of the critique, the evidence in words, and each operation: all that one says, on lines of its own.

    What one operation says is one text, so that a sentence does not get past by being divided among its members.
    """
    texts = [("the critique", revision.critique)]
    texts += [("the evidence", item) for item in revision.evidence if isinstance(item, str)]
    for op in revision.ops:
        body = write_op(op)
        kind = str(body.pop("op"))
        body.pop("id", None)
        said = "\n".join(text for value in body.values() for text in _strings(value))
        if said and kind in _KINDS:
            name = body.get("key") or body.get("name")
            texts.append((f"{_KINDS[kind]} {name!r}" if name else _KINDS[kind], said))
    return [(where, text) for where, text in texts if text]


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
