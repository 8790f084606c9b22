-- Snapshots of playbooks: our own newest ones, those that a playbook is shown by until its history is here, and what
-- became of each that was checked. status: own, provisional, confirmed, refuted.
CREATE TABLE snapshots (
    cid        TEXT PRIMARY KEY,
    playbook   TEXT NOT NULL,
    author     TEXT NOT NULL,
    height     INTEGER NOT NULL,
    revisions  INTEGER NOT NULL,
    state_hash TEXT NOT NULL,
    status     TEXT NOT NULL,
    reason     TEXT,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshots_playbook ON snapshots (playbook, status);

-- The highest revisions are named to a peer that is asked for a history, so that it stops at them.
CREATE INDEX revisions_height ON revisions (playbook, height);
