"""Reading plain text, Markdown and source code. Pure.

Nothing is rendered: a heading only says what stands below it, and code keeps its lines.
"""

import re
from collections.abc import Iterator
from typing import Final

from node.memory.documents.errors import DocumentUnreadable
from node.memory.documents.sections import MAX_HEADING_CHARS, MAX_TITLE_CHARS, Document, Section, one_line

_ATX: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_LINK: Final = re.compile(r"!?\[([^\[\]]{0,1000})\]\([^()\s]{0,2000}(?:\s\"[^\"]{0,200}\")?\)")
_MARKS: Final = re.compile(r"(\*\*|__|`)(?=\S)([^*_`]{1,500}?)(?<=\S)\1")
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)

CODE_CHARS: Final = 1200
"""About one function: long enough to be understood, short enough for a handful to fit into a prompt."""


def decoded(data: bytes) -> str:
    """The text of a file. UTF-8, UTF-16 with its mark, else Western single bytes. Raises DocumentUnreadable."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    elif b"\0" in data[:8192]:
        raise DocumentUnreadable("it is not text")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")


def read_text(text: str) -> Document:
    """Plain text: one section."""
    return Document("", (Section((), text),) if text.strip() else ())


def read_markdown(text: str) -> Document:
    """Markdown by its headings (CommonMark 0.31, ATX and setext); fenced code keeps its lines."""
    title = ""
    if front := _FRONT_MATTER.match(text):
        if named := _FRONT_TITLE.search(front[1]):
            title = named[1]
        text = text[front.end() :]
    sections: list[Section] = []
    path: list[str] = []
    bare = 0  # the level of a heading below which nothing has come yet
    for level, content, verbatim in (*_markdown_parts(text), (1, "", False)):
        if level and level <= bare:
            sections.append(Section(tuple(path[:-1]), path[-1]))  # an outline says what it says by its headings
        if level:
            path = [*path[: level - 1], *[""] * (level - 1 - len(path)), content]
            title, bare = title or content, level if content else 0
        elif content.strip():
            sections.append(Section(tuple(path), content if verbatim else _unmarked(content), verbatim))
            bare = 0
    return Document(one_line(title, MAX_TITLE_CHARS), tuple(sections))


def read_code(text: str, name: str) -> Document:
    """Source code in stretches of lines that begin where a block does; the heading has the file and the lines."""
    sections = [
        Section((f"{name}:{first}-{first + len(lines) - 1}",), "\n".join(lines), verbatim=True)
        for first, lines in _stretches(text.split("\n"))
        if any(line.strip() for line in lines)
    ]
    return Document(name, tuple(sections))


def _markdown_parts(text: str) -> Iterator[tuple[int, str, bool]]:
    """(level, heading, False), or (0, text, whether it is code), in order."""
    waiting: list[str] = []
    fence: str | None = None

    def flushed(verbatim: bool) -> Iterator[tuple[int, str, bool]]:
        if waiting:
            yield 0, "\n".join(waiting), verbatim
            waiting.clear()

    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence is not None:
            if mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not mark[2].strip():
                yield from flushed(True)
                fence = None
            else:
                waiting.append(line)
        elif mark:
            yield from flushed(False)
            fence = mark[1]
        elif heading := _ATX.match(line):
            yield from flushed(False)
            yield len(heading[1]), one_line(heading[2] or "", MAX_HEADING_CHARS), False
        elif waiting and waiting[-1].strip() and not waiting[-1].startswith("    ") and (under := _SETEXT.match(line)):
            above = waiting.pop()
            yield from flushed(False)
            yield 1 if under[1][0] == "=" else 2, one_line(above, MAX_HEADING_CHARS), False
        else:
            waiting.append(line)
    yield from flushed(fence is not None)


def _unmarked(text: str) -> str:
    """Links as their words, and words without their marks: what a person would read aloud."""
    return _MARKS.sub(r"\2", _LINK.sub(r"\1", text))


def _stretches(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, lines): blocks that begin at the margin after an empty line, small ones together."""
    first, held, held_chars = 1, list[str](), 0
    for number, block in _blocks(lines):
        chars = sum(len(line) + 1 for line in block)
        if held and held_chars + chars > CODE_CHARS:
            yield from _cut(first, held)
            first, held, held_chars = number, [], 0
        held += block
        held_chars += chars
    if held:
        yield from _cut(first, held)


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    start = 0
    for number in range(1, len(lines)):
        line = lines[number]
        if line and not line[0].isspace() and line[0] not in ")]}" and not lines[number - 1].strip():
            yield start + 1, lines[start:number]
            start = number
    yield start + 1, lines[start:]


def _cut(first: int, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """A stretch in parts of at most CODE_CHARS; a line that is longer than that alone is cut off there."""
    part: list[str] = []
    chars = 0
    for number, line in enumerate(lines, first):
        line = line[:CODE_CHARS].rstrip()
        if part and chars + len(line) + 1 > CODE_CHARS:
            yield number - len(part), part
            part, chars = [], 0
        part.append(line)
        chars += len(line) + 1
    if part:
        yield first + len(lines) - len(part), part
