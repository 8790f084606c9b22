"""What a memory leaves behind, and taking it away: rows that belong together, and records of work that hold them."""

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from storage import memories, memory_links

FORGOTTEN: Final = "(forgotten)"

_ENDED: Final = ("done", "refused", "failed", "throttled", "cancelled")
_WORD: Final = re.compile(r"\w+")
_WORDS_COMPARED: Final = 6
"""A text is recognised by so many words of its beginning, in a row."""

_LEAST_WORDS: Final = 3
"""A text of fewer words is recognised only where it stands alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to forget; every filter that is given must hold. A `source` with a `/` at its end is a folder.

    `from_ms` and `to_ms` are about when something happened or was kept: from the first to before the second.
    """

    ids: tuple[str, ...] = ()
    namespace: str | None = None
    session_id: str | None = None
    source: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    @property
    def named(self) -> bool:
        """Whether any filter is given."""
        return any((self.ids, self.namespace, self.session_id, self.source, self.from_ms, self.to_ms))


def meant(conn: sqlite3.Connection, target: Target) -> list[int]:
    """The `seq` of the memories that a target names, newest first."""
    where: list[str] = []
    values: list[str | int] = []
    if target.ids:
        where.append("id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(target.ids))
    for column, value in (("namespace", target.namespace), ("session_id", target.session_id)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if target.source is not None:
        folder = target.source.endswith("/")
        where.append("substr(source, 1, ?) = ?" if folder else "source = ?")
        values += [len(target.source), target.source] if folder else [target.source]
    if target.from_ms is not None or target.to_ms is not None:
        first, last = target.from_ms or 0, target.to_ms if target.to_ms is not None else 1 << 62
        where.append("(happened_ms >= ? AND happened_ms < ? OR ts_ms >= ? AND ts_ms < ?)")
        values += [first, last, first, last]
    assert where
    rows = conn.execute(f"SELECT seq FROM memories WHERE {' AND '.join(where)} ORDER BY seq DESC", values)
    return [seq for (seq,) in rows]


def with_traces(conn: sqlite3.Connection, seqs: Collection[int], *, whole: bool) -> list[int]:
    """These memories and what was made from them, at any remove.

    `whole`: also what says the same elsewhere, the turns that they were noticed in, and the episodes of those turns.
    A memory that is named by itself is to be gone for good; one that goes with its source may be known from another.
    """
    found = {*seqs, *memory_links.made_from(conn, seqs)}
    if whole:
        found.update(memory_links.said_the_same(conn, found))
        sources = {source for seq in found for source in memory_links.sources_of(conn, seq)} - found
        turns = {row.seq for row in memories.get_many(conn, sorted(sources)) if row.kind == "working"}
        found |= turns | _episodes_of(conn, turns)
    return sorted(found)


def delete(conn: sqlite3.Connection, seqs: Collection[int]) -> None:
    """Delete memories by their `seq`; links and the vectors in their rows go with them."""
    conn.execute("DELETE FROM memories WHERE seq IN (SELECT value FROM json_each(?))", (json.dumps(sorted(seqs)),))


class Beginnings:
    """How texts begin, to be recognised where they are quoted: by their first words, in a row, in any case."""

    def __init__(self, texts: Collection[str]) -> None:
        self._by_length: dict[int, set[tuple[str, ...]]] = {}
        self._alone: set[tuple[str, ...]] = set()
        for text in texts:
            words = tuple(_words(text)[:_WORDS_COMPARED])
            if len(words) >= _LEAST_WORDS:
                self._by_length.setdefault(len(words), set()).add(words)
            elif words:
                self._alone.add(words)

    def within(self, text: str) -> bool:
        """Whether one of the texts is quoted in this one."""
        words = tuple(_words(text))
        if words in self._alone:
            return True
        return any(
            words[start : start + length] in wanted
            for length, wanted in self._by_length.items()
            for start in range(len(words) - length + 1)
        )


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def jobs_that_tell(
    conn: sqlite3.Connection, beginnings: Beginnings, *, ids: Collection[str], session_id: str | None
) -> tuple[list[str], list[str]]:
    """Jobs whose records hold any of it: those that have ended, and those that are still under way.

    `ids` are of the memories: an answer that rests on one of them tells it, in whatever words.
    """
    wanted = set(ids)
    held: tuple[list[str], list[str]] = ([], [])
    for job_id, status, session, *texts in conn.execute(
        "SELECT id, status, session_id, goal, answer, reflection FROM jobs ORDER BY seq"
    ):
        tells = (session_id is not None and session == session_id) or any(
            beginnings.within(text) for text in (*(text for text in texts if text), *_job_texts(conn, job_id))
        )
        if tells or not wanted.isdisjoint(_rests_on(conn, job_id)):
            held[status not in _ENDED].append(job_id)
    return held


def _job_texts(conn: sqlite3.Connection, job_id: str) -> Iterator[str]:
    for given, output in conn.execute("SELECT input, output FROM job_steps WHERE job_id = ?", (job_id,)):
        yield _text(given)
        yield _text(output)
    for (line,) in conn.execute("SELECT text FROM job_log WHERE job_id = ?", (job_id,)):
        yield line


def _rests_on(conn: sqlite3.Connection, job_id: str) -> Iterable[str]:
    """The memories that a job's answer names as its sources."""
    row = conn.execute(
        "SELECT output FROM job_steps WHERE job_id = ? AND action = 'respond' ORDER BY n DESC LIMIT 1", (job_id,)
    ).fetchone()
    output = json.loads(_text(row[0]) or "{}") if row else {}
    named = output.get("memories", []) if isinstance(output, dict) else []
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []


def _text(data: bytes | None) -> str:
    return data.decode(errors="replace") if data else ""


def empty_jobs(conn: sqlite3.Connection, job_ids: Collection[str]) -> None:
    """Leave of these jobs that they were, and when: no goal, no answer, no step's input or output, no log."""
    wanted = (json.dumps(list(job_ids)),)
    these = "IN (SELECT value FROM json_each(?))"
    conn.execute(f"UPDATE jobs SET goal = '{FORGOTTEN}', answer = NULL, reflection = NULL WHERE id {these}", wanted)
    conn.execute(f"UPDATE job_steps SET input = CAST('{{}}' AS BLOB), output = NULL WHERE job_id {these}", wanted)
    conn.execute(f"DELETE FROM job_log WHERE job_id {these}", wanted)
    conn.execute(f"DELETE FROM approvals WHERE job_id {these}", wanted)
    conn.execute(f"DELETE FROM feedback WHERE job_id {these}", wanted)


def turns_that_tell(
    conn: sqlite3.Connection, beginnings: Beginnings, job_ids: Collection[str], *, whole: bool
) -> list[int]:
    """Answers in conversations that quote it, with the episodes that were made of them.

    `whole`: also what the owner said, the turns of these jobs, and episodes whose turns are over their time.
    """
    rows = conn.execute("SELECT seq, role, content FROM memories WHERE kind IN ('working', 'episodic')")
    found = {seq for seq, role, content in rows if (whole or role == "assistant") and beginnings.within(content)}
    if whole:
        turns = conn.execute(
            "SELECT memories.seq FROM jobs JOIN memories ON kind = 'working' AND memories.session_id IS jobs.session_id"
            " AND content IN (goal, answer) WHERE jobs.id IN (SELECT value FROM json_each(?))",
            (json.dumps([*job_ids]),),
        )
        found.update(seq for (seq,) in turns)
    return sorted(found | _episodes_of(conn, found))


def _episodes_of(conn: sqlite3.Connection, seqs: Collection[int]) -> set[int]:
    """The episodes that were made from these; what was noticed in them may be known from elsewhere."""
    made = memories.get_many(conn, memory_links.made_from(conn, seqs))
    return {row.seq for row in made if row.kind == "episodic"}


Tells = Callable[[str], bool]
"""Whether a text holds any of what is forgotten."""


def goals_of(conn: sqlite3.Connection, job_ids: Collection[str]) -> set[str]:
    """The goals of these jobs, word for word."""
    rows = conn.execute("SELECT goal FROM jobs WHERE id IN (SELECT value FROM json_each(?))", (json.dumps([*job_ids]),))
    return {goal for (goal,) in rows}


def forget_answered(conn: sqlite3.Connection, tells: Tells) -> None:
    """Take away what other twins answered lately, where question or answer hold any of it."""
    rows = conn.execute("SELECT id, question, answer FROM answered").fetchall()
    told = [row_id for row_id, asked, answer in rows if tells(asked) or tells(_text(answer))]
    conn.execute("DELETE FROM answered WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(told),))


def forget_documents(conn: sqlite3.Connection, sources: Collection[str]) -> None:
    """Take away the records of documents from these sources of which nothing is remembered any more.

    A source with a `/` at its end is a folder.
    """
    conn.execute(
        "DELETE FROM documents WHERE EXISTS (SELECT 1 FROM json_each(?) AS s WHERE documents.source = s.value"
        " OR substr(s.value, -1) = '/' AND substr(documents.source, 1, length(s.value)) = s.value)"
        " AND NOT EXISTS (SELECT 1 FROM memories WHERE memories.source = documents.source)",
        (json.dumps(sorted(sources)),),
    )


def messages_that_tell(conn: sqlite3.Connection, beginnings: Beginnings, newest: int) -> list[tuple[str, str, str]]:
    """(`in` or `out`, message id, the other's DID) of messages that hold any of it, of so many newest of each box."""
    found: list[tuple[str, str, str]] = []
    for box, other in (("inbox", "from_did"), ("outbox", "to_did")):
        rows = conn.execute(f"SELECT message_id, {other}, plaintext FROM {box} ORDER BY seq DESC LIMIT ?", (newest,))
        found += [(box[:-3], message_id, did) for message_id, did, data in rows if beginnings.within(_text(data))]
    return found


def tasks_that_tell(conn: sqlite3.Connection, tells: Tells) -> list[str]:
    """The ids of tasks, given or done, whose text or result hold any of it."""
    rows = conn.execute("SELECT id, task, result FROM tasks ORDER BY seq")
    return [task_id for task_id, task, result in rows if tells(task) or tells(_text(result))]
