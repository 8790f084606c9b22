-- The snapshot that a playbook is shown by until its history is here, and what became of each that was checked.
-- status: provisional, confirmed, refuted.
CREATE TABLE snapshots (
    cid        TEXT PRIMARY KEY,
    playbook   TEXT NOT NULL,
    author     TEXT NOT NULL,
    height     INTEGER NOT NULL,
    revisions  INTEGER NOT NULL,
    state_hash TEXT NOT NULL,
    status     TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshots_playbook ON snapshots (playbook);
