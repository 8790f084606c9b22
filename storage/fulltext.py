"""Full-text search over memories that are not working memory: FTS5 beside the table, without a copy of the texts.

A query is free text: its terms are its words, and what stands in double quotes as one phrase. Nothing in it is syntax.
The words of a row that is deleted stay in the index until `take_out`, and in its pages until `purge` has merged it into
one piece. SQLite 3.42 can do without that, but older ones are in use.
"""

import re
import sqlite3
from typing import Final

MAX_QUERY_CHARS: Final = 2048
MAX_TERMS: Final = 32
"""Words and phrases of a query that count, the first ones: each is a list of rows to go through."""

_PURGE_PAGES: Final = 256
"""What one step of a purge may write: about 20 ms during which no other write runs."""

_TERM: Final = re.compile(r'"([^"]*)"|([^\s"]+)')


def rows_with(conn: sqlite3.Connection, term: str, limit: int) -> list[int]:
    """The `seq` of memories that hold a term, newest first; one that is being deleted may be among them."""
    rows = conn.execute(
        "SELECT rowid FROM memories_text WHERE memories_text MATCH ? ORDER BY rowid DESC LIMIT ?",
        (_quoted(term), limit),
    )
    return [seq for (seq,) in rows]


def terms_of(text: str) -> list[str]:
    """The words and quoted phrases of a text that hold a letter or a digit, each once, MAX_TERMS at most."""
    clean = text[:MAX_QUERY_CHARS].replace("\0", " ").encode("utf-8", "ignore").decode()
    found = (phrase or word for phrase, word in _TERM.findall(clean))
    return list(dict.fromkeys(term for term in found if any(char.isalnum() for char in term)))[:MAX_TERMS]


def put(conn: sqlite3.Connection, seq: int, content: str) -> None:
    """Index a row, in the transaction that keeps it."""
    conn.execute("INSERT INTO memories_text (rowid, content) VALUES (?, ?)", (seq, content))


def take_out(conn: sqlite3.Connection) -> int:
    """Take the rows that were deleted since the last time out of the index; how many. Then `purge` is due."""
    gone = conn.execute("DELETE FROM memories_text_gone RETURNING seq, content").fetchall()
    conn.executemany("INSERT INTO memories_text (memories_text, rowid, content) VALUES ('delete', ?, ?)", gone)
    return len(gone)


def purge(conn: sqlite3.Connection, *, first: bool) -> bool:
    """One step of merging the index into a single piece, in which nothing is left of deleted rows; True when done.

    `first` begins it. Steps are separate writes, so that others come in between.
    """
    before = conn.total_changes
    pages = -_PURGE_PAGES if first else _PURGE_PAGES
    conn.execute("INSERT INTO memories_text (memories_text, rank) VALUES ('merge', ?)", (pages,))
    # sqlite.org/fts5.html, "The merge command": one change is the command itself, and then nothing was left to do.
    return conn.total_changes - before < 2


def _quoted(term: str) -> str:
    """A string of FTS5's, in which the tokeniser of the table finds the words: no operator, no column, no prefix."""
    return '"' + term.replace('"', '""') + '"'
