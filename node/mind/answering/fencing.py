"""Words of others in a prompt: marked so that they cannot end their place or speak as somebody else. Pure.

Each line of data begins with `| `, whatever it holds, so nothing in it can be a line that does not. What a chat
template would read as the end of a turn, or as a new one, is taken apart: a model library that is given the whole
prompt as one text cannot tell the template's marks from such marks in a memory.
"""

import re
from typing import Final

MARK: Final = "| "
"""Begins every line of data."""

_TEMPLATE_MARKS: Final = re.compile(
    r"<[|｜/]?[^<>\n]{0,64}[|｜]>"
    r"|</?(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|im_start|im_end|tool_call|tool_calls|tool_response|"
    r"tools|think|system|user|assistant|function|function_call|function_results)\b[^<>\n]{0,64}>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|IMG)\]"
    r"|<</?SYS>>",
    re.IGNORECASE,
)
_APART: Final = str.maketrans({"<": "‹", ">": "›", "[": "⟦", "]": "⟧", "|": "¦", "｜": "¦"})


def defused(text: str) -> str:
    """The text with every mark of a chat template written in letters that no template knows."""
    previous = None
    while previous != text:  # what is taken apart may have stood inside another
        previous, text = text, _TEMPLATE_MARKS.sub(lambda match: match[0].translate(_APART), text)
    return text


def one_line(text: str) -> str:
    """The text as one line of data, without the mark at its beginning."""
    return defused(" ".join(text.split()))


def fenced(text: str) -> str:
    """The text as lines of data, each with the mark."""
    return "\n".join(f"{MARK}{line}" for line in defused(text).splitlines() or [""])


def cut(text: str, max_chars: int) -> str:
    """The text, or its beginning and its end with a word of how much is missing between them."""
    if len(text) <= max_chars:
        return text
    room = max(2, max_chars - 48)
    head, tail = text[: room * 2 // 3], text[-(room // 3) :]
    return f"{head} […{len(text) - len(head) - len(tail)} characters left out…] {tail}"
