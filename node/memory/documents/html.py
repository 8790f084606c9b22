"""Reading HTML: what a person would read of the page, under its headings.

What is not shown is not read: scripts, styles, navigation, and elements that are hidden. A page can show a person one
thing and tell a machine another.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from node.memory.documents.sections import MAX_HEADING_CHARS, MAX_TITLE_CHARS, Document, Section, one_line

_SKIPPED: Final = frozenset(
    """
    script style noscript template svg math iframe object embed canvas nav header footer aside form button select
    input textarea dialog head audio video
    """.split()  # noqa: SIM905 - a list of words is easier to read
)
_BLOCKS: Final = frozenset(
    """
    address article blockquote body br caption dd details div dl dt fieldset figcaption figure hr html li main ol p
    section summary table tbody tfoot thead tr ul
    """.split()  # noqa: SIM905
)
_CELLS: Final = frozenset({"td", "th"})
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_HIDDEN_STYLE: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.IGNORECASE
)

MAX_NODES: Final = 500_000
"""Elements and texts of one page that are looked at; a page of a book's length has a tenth of that."""


def read_html(text: str) -> Document:
    """The sections of an HTML page."""
    from selectolax.lexbor import LexborHTMLParser  # a parser in C: loaded only in the process that reads

    tree = LexborHTMLParser(text)
    named = tree.css_first("title")
    title = one_line(named.text(), MAX_TITLE_CHARS) if named is not None else ""
    sections: list[Section] = []
    path: list[str] = []
    for level, content, verbatim in _parts(tree.body):
        if level:
            path = [*path[: level - 1], *[""] * (level - 1 - len(path)), one_line(content, MAX_HEADING_CHARS)]
            title = title or one_line(content, MAX_TITLE_CHARS)
        elif content.strip():
            sections.append(Section(tuple(path), content.strip() if not verbatim else content, verbatim))
    return Document(title, tuple(sections))


def _parts(body: Any) -> Iterator[tuple[int, str, bool]]:
    """(level, heading, False), or (0, text, whether it keeps its lines), in order."""
    waiting: list[str] = []
    for node, entering in _walked(body):
        tag = node.tag
        if node.is_text_node:
            waiting.append(re.sub(r"\s+", " ", node.text_content or ""))
        elif tag in _HEADINGS or tag == "pre":
            if not entering:
                continue
            if text := _paragraphs(waiting):
                yield 0, text, False
            waiting = []
            whole = node.text(deep=True)
            yield (_HEADINGS[tag], " ".join(whole.split()), False) if tag != "pre" else (0, whole.strip("\n"), True)
        elif tag in _CELLS:
            waiting.append(" | " if not entering else "")
        elif tag in _BLOCKS:
            waiting.append("\n\n" if tag not in ("br", "tr", "li", "dt", "dd") else "\n")
    if text := _paragraphs(waiting):
        yield 0, text, False


def _paragraphs(pieces: list[str]) -> str:
    lines = [line.strip().removesuffix("|").strip() for line in "".join(pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _walked(root: Any) -> Iterator[tuple[Any, bool]]:
    """Each node that is shown, as it is entered and, for elements, as it is left. No recursion: pages nest deep."""
    stack: list[tuple[Any, bool]] = [(root, True)] if root is not None else []
    seen = 0
    while stack and seen < MAX_NODES:
        node, entering = stack.pop()
        if entering and not node.is_text_node and (node.tag in _SKIPPED or _is_hidden(node)):
            continue
        yield node, entering
        if not entering or node.is_text_node:
            continue
        seen += 1
        stack.append((node, False))
        if node.tag not in _HEADINGS and node.tag != "pre":
            stack += [(child, True) for child in reversed(_children(node))]


def _children(node: Any) -> list[Any]:
    children: list[Any] = []
    child = node.child
    while child is not None and len(children) < MAX_NODES:
        if child.is_text_node or child.is_element_node:
            children.append(child)
        child = child.next
    return children


def _is_hidden(node: Any) -> bool:
    attributes = node.attributes
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
    )
