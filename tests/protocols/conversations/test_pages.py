"""docs/protocols says what the code does: diagrams, limits, message types and file names."""

import re
import subprocess
from pathlib import Path

from protocols.conversations.tables import TABLES

ROOT = Path(__file__).parents[3]
PAGES = {page.name: page.read_text() for page in (ROOT / "docs" / "protocols").glob("*.md")}


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run([ROOT / "scripts" / "protocol-pages", "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_table_is_drawn() -> None:
    drawn = "".join(PAGES.values())
    assert [f"{table.name} {table.role}" for table in TABLES if table.mermaid() not in drawn] == []


def test_every_protocol_and_message_is_named() -> None:
    for table in TABLES:
        messages = {
            found[1]
            for _, event in table.transitions
            if (found := re.match(r"(?:send|receive) ([a-z-]+)(?: \(|$)", event))
        }
        pages = [text for text in PAGES.values() if table.uri in text]
        assert pages, table.uri
        for message in messages:
            assert any(f"`{message}`" in text for text in PAGES.values()), message


def test_every_file_that_a_page_names_is_there() -> None:
    for name, text in PAGES.items():
        for path in re.findall(r"`((?:protocols|tests|scripts|node|storage|identity|bootstrap)/[^` ]*)`", text):
            assert (ROOT / path).exists(), (name, path)
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("http") or (ROOT / "docs" / "protocols" / link).exists(), (name, link)
