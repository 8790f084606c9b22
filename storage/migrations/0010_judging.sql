-- How each revision came through the trust pipeline: one row a stage. outcome: passed, quarantined, rejected, noted.
CREATE TABLE revision_stages (
    cid     TEXT NOT NULL,
    n       INTEGER NOT NULL,
    stage   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason  TEXT NOT NULL,
    ts_ms   INTEGER NOT NULL,
    PRIMARY KEY (cid, n)
) STRICT, WITHOUT ROWID;

-- Small tasks with known answers. origin: owner, history.
CREATE TABLE checks (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    playbook   TEXT NOT NULL,
    goal       TEXT NOT NULL,
    expected   TEXT NOT NULL,
    origin     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (playbook, goal)
) STRICT;

-- What was found when bullets were tried, here or by another twin that says so over its signature.
CREATE TABLE gate_results (
    cid            TEXT PRIMARY KEY,
    revision       TEXT NOT NULL,
    playbook       TEXT NOT NULL,
    author         TEXT NOT NULL,
    checks         INTEGER NOT NULL,
    passed_without INTEGER NOT NULL,
    passed_with    INTEGER NOT NULL,
    ts_ms          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX gate_results_revision ON gate_results (revision);

-- Pairs of bullets that say the same; the older one of a pair stands for both.
CREATE TABLE duplicate_bullets (
    playbook   TEXT NOT NULL,
    bullet     TEXT NOT NULL,
    stands_for TEXT NOT NULL,
    likeness   REAL NOT NULL,
    ts_ms      INTEGER NOT NULL,
    PRIMARY KEY (playbook, bullet, stands_for)
) STRICT, WITHOUT ROWID;

-- What the owner wants nobody, a playbook least of all, to suggest.
CREATE TABLE red_lines (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    text       TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
) STRICT;
