-- Jobs that survive a crash: what each was allowed, how far it is, and which steps have begun.
ALTER TABLE jobs ADD COLUMN parent_id TEXT;
ALTER TABLE jobs ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN max_steps INTEGER NOT NULL DEFAULT 8;
ALTER TABLE jobs ADD COLUMN deadline_ms INTEGER;
ALTER TABLE jobs ADD COLUMN ended_ms INTEGER;
ALTER TABLE jobs ADD COLUMN progress REAL NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN doing TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN degraded TEXT;
-- 1 while the next turn of the conversation is not in the working memory: the goal, and after the end the answer.
ALTER TABLE jobs ADD COLUMN turn_due INTEGER NOT NULL DEFAULT 0;
-- 1 while the job has ended and nobody has reflected on it yet.
ALTER TABLE jobs ADD COLUMN to_reflect INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_afterwards ON jobs (seq) WHERE to_reflect = 1 OR turn_due = 1;
CREATE INDEX jobs_parent ON jobs (parent_id) WHERE parent_id IS NOT NULL;

-- 0 while the step only waits, for leave or for an answer: nothing of it has happened.
ALTER TABLE job_steps ADD COLUMN begun INTEGER NOT NULL DEFAULT 1;

-- What the owner is asked, and the signed record of each decision. `action` is canonical JSON, whose SHA-256 is
-- `action_hash`; `status` is pending, approved, denied, expired or used.
CREATE TABLE approvals (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    job_id      TEXT REFERENCES jobs (id) ON DELETE CASCADE,
    n           INTEGER,
    kind        TEXT NOT NULL,
    summary     TEXT NOT NULL,
    action      BLOB NOT NULL,
    action_hash BLOB NOT NULL,
    status      TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    decided_ms  INTEGER,
    note        TEXT,
    record      BLOB
) STRICT;
CREATE INDEX approvals_status ON approvals (status, seq);
CREATE INDEX approvals_hash ON approvals (action_hash);
CREATE INDEX approvals_job ON approvals (job_id);

-- A job that is resumed looks for the reply to what it had asked.
CREATE INDEX inbox_thread ON inbox (from_did, thid) WHERE thid IS NOT NULL;
