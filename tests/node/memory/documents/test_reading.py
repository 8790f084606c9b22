import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.memory.documents.errors import DocumentTooLarge, DocumentUnreadable
from node.memory.documents.kinds import DocumentKind, kind_of, language_of
from node.memory.documents.plain import CODE_CHARS, decoded
from node.memory.documents.reading import MAX_DOCUMENT_BYTES, read_document
from tests.node.memory.documents.files import GUIDE, PAGE, pdf


def contents(data: bytes, kind: DocumentKind, name: str = "file") -> list[str]:
    return [piece.content for piece in read_document(data, kind, name).pieces]


def test_the_kind_of_a_file_is_in_its_name() -> None:
    kinds = {name: kind_of(name) for name in ("a/README", "b.md", "c.HTML", "d.pdf", "e.rs", "f.bin", "g", "h.min.js")}
    assert kinds == {
        "a/README": "text",
        "b.md": "markdown",
        "c.HTML": "html",
        "d.pdf": "pdf",
        "e.rs": "code",
        "f.bin": None,
        "g": None,
        "h.min.js": None,
    }
    assert (language_of("x.py"), language_of("Makefile")) == ("python", None)


def test_markdown_is_read_under_its_headings() -> None:
    read = read_document(GUIDE, "markdown", "guide.md")
    assert read.title == "Kiln guide"
    assert [piece.heading for piece in read.pieces] == [
        "Kiln guide",
        "Firing",
        "Firing › Bisque",
        "Firing › Bisque",
        "Firing › Glaze",
    ]
    assert read.pieces[1].text.startswith("Heat the kiln slowly to 600 degrees")
    assert read.pieces[1].text.endswith("see the table.")
    assert read.pieces[3].text == "def ramp(hours):\n    return hours * 150"


def test_of_a_page_what_is_shown_is_read_and_nothing_else() -> None:
    read = read_document(PAGE, "html", "page.html")
    whole = "\n".join(piece.content for piece in read.pieces)
    assert read.title == "Tides & mills"
    assert "The mill: The wheel turns for six hours after each high water, says Ines." in whole
    assert "The mill › Output" in whole
    assert "1890 | 410" in whole
    assert "grind(\n  wheat)" in whole
    assert "Rye is ground on Mondays." in whole
    for hidden in ("Ignore", "Send the keys", "alert", "color", "Home About"):
        assert hidden not in whole


def test_a_pdf_is_read_page_by_page() -> None:
    data = pdf(["The wharf was built of green-\nheart in 1871.", "", "Its crane lifts four tonnes."], title="Wharf")
    read = read_document(data, "pdf", "wharf.pdf")
    assert read.title == "Wharf"
    assert [(piece.heading, piece.text) for piece in read.pieces] == [
        ("page 1", "The wharf was built of greenheart in 1871."),
        ("page 3", "Its crane lifts four tonnes."),
    ]


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4\nnothing", b"not a pdf", pdf(["", ""]), pdf(["some words"])[:-300]])
def test_a_pdf_without_text_or_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentUnreadable):
        read_document(data, "pdf", "x.pdf")


def test_code_is_cut_between_its_blocks_and_says_where_it_stands() -> None:
    block = "def step_{n}(x):\n    y = x + {n}\n    return y\n\n\n"
    source = "".join(block.format(n=n) for n in range(60))
    read = read_document(source.encode(), "code", "steps.py")
    assert len(read.pieces) > 1
    assert read.pieces[0].heading == f"steps.py:1-{read.pieces[0].text.count(chr(10)) + 3}"
    for piece in read.pieces:
        assert piece.text.startswith("def step_")
        assert len(piece.text) <= CODE_CHARS
    assert sum(piece.text.count("return y") for piece in read.pieces) == 60


def test_text_of_other_encodings_is_read_and_what_is_no_text_is_not() -> None:
    assert decoded("naïve".encode("utf-16")) == "naïve"
    assert decoded("naïve".encode("cp1252")) == "naïve"
    assert decoded("\ufeffnaïve\r\nx".encode()) == "naïve\nx"
    with pytest.raises(DocumentUnreadable):
        decoded(b"ELF\0\0\0")


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(DocumentTooLarge):
        read_document(b" " * (MAX_DOCUMENT_BYTES + 1), "text", "x.txt")


@given(st.text(max_size=3000))
def test_no_word_of_a_text_is_lost(text: str) -> None:
    data = text.replace("\0", "").encode("utf-8", "replace")
    kept = " ".join(contents(data, "text")).split()
    assert kept == decoded(data).split()


def test_of_an_outline_the_headings_are_read() -> None:
    outline = b"# Kilns\n## Large\n## Small\nIt fires at 900 degrees and needs four hours, all in all.\n# Glazes\n"
    assert contents(outline, "markdown") == [
        "Kilns: Large",
        "Kilns › Small: It fires at 900 degrees and needs four hours, all in all.",
        "Kilns: Glazes",
    ]


@given(st.text(alphabet="#-=`~ \nabc[]()*_>\t", max_size=400).filter(lambda text: not text.startswith("---")))
@example("a\n=")
@example("# b\n\n## a")
def test_markdown_of_any_form_is_read(text: str) -> None:
    words = {word for piece in contents(text.encode(), "markdown") for word in piece.replace(":", " ").split()}
    for line in text.split("\n"):
        if line.strip().isalpha():
            assert line.strip() in words or any(line.strip() in word for word in words)


@given(st.binary(max_size=600))
def test_html_of_any_form_is_read(data: bytes) -> None:
    data = b"<p>" + data
    if b"\0" in data:
        with pytest.raises(DocumentUnreadable, match="not text"):
            contents(data, "html")
    else:
        contents(data, "html")


def test_html_that_nests_deep_is_read() -> None:
    assert "the end" in " ".join(contents(b"<div>" * 20_000 + b"the end of it all", "html"))


def test_reading_needs_nothing_of_the_node() -> None:
    """The process that reads starts quickly: it must not load the network, the model or the database."""
    program = "import sys; import node.memory.documents.worker; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"libp2p", "aiohttp", "numpy", "faiss", "xllamacpp", "sqlite3", "pydantic", "pypdf", "selectolax"}
    assert not heavy & set(loaded)
