-- How each revision came through the trust pipeline: one row a stage, and one for the owner's own word.
-- outcome: passed, noted, pending, quarantined, rejected.
CREATE TABLE revision_stages (
    cid     TEXT NOT NULL,
    n       INTEGER NOT NULL,
    stage   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason  TEXT NOT NULL,
    ts_ms   INTEGER NOT NULL,
    PRIMARY KEY (cid, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX revision_stages_waiting ON revision_stages (stage, outcome);

-- What the owner decided before stages were kept stays decided.
INSERT INTO revision_stages (cid, n, stage, outcome, reason, ts_ms)
    SELECT cid, 9, 'owner', 'passed', reason, updated_ms FROM revisions
    WHERE status = 'adopted' AND reason = 'approved by the owner';
INSERT INTO revision_stages (cid, n, stage, outcome, reason, ts_ms)
    SELECT cid, 9, 'owner', 'rejected', coalesce(reason, 'rejected by the owner'), updated_ms FROM revisions
    WHERE status = 'rejected' AND reason IS NOT 'its author is blocked';

-- The share of the goals, from 0 to 1, that are given the bullets of a revision with status 'canary'.
CREATE TABLE canaries (
    cid   TEXT PRIMARY KEY,
    share REAL NOT NULL
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
    payload_cid    TEXT NOT NULL,
    revision       TEXT NOT NULL,
    playbook       TEXT NOT NULL,
    author         TEXT NOT NULL,
    checks         INTEGER NOT NULL,
    passed_without INTEGER NOT NULL,
    passed_with    INTEGER NOT NULL,
    answered_by    TEXT NOT NULL,
    ts_ms          INTEGER NOT NULL,
    UNIQUE (revision, author)
) STRICT, WITHOUT ROWID;
CREATE INDEX gate_results_author ON gate_results (author);

-- Pairs of bullets that say the same, the smaller id first. split: the owner said that they do not.
CREATE TABLE duplicate_bullets (
    playbook TEXT NOT NULL,
    a        TEXT NOT NULL,
    b        TEXT NOT NULL,
    likeness REAL NOT NULL,
    split    INTEGER NOT NULL DEFAULT 0,
    ts_ms    INTEGER NOT NULL,
    PRIMARY KEY (playbook, a, b)
) STRICT, WITHOUT ROWID;

-- What the owner wants nobody, a playbook least of all, to suggest. kind: phrase, pattern, meaning.
CREATE TABLE red_lines (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
