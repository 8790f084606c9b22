-- What was given and how it went is also noted where there is no job: `job_id` is then `check-run:` or `task:` and an id.
CREATE TABLE outcomes_of_anything (
    job_id     TEXT PRIMARY KEY,
    playbook   TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    source     TEXT NOT NULL,
    counted    INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO outcomes_of_anything SELECT * FROM job_outcomes;
DROP TABLE job_outcomes;
ALTER TABLE outcomes_of_anything RENAME TO job_outcomes;
CREATE INDEX job_outcomes_uncounted ON job_outcomes (playbook) WHERE counted = 0;
CREATE INDEX job_outcomes_said ON job_outcomes (job_id) WHERE source IN ('owner', 'receipt');

CREATE TABLE uses_of_anything (
    job_id   TEXT NOT NULL,
    bullet   TEXT NOT NULL,
    revision TEXT NOT NULL,
    use      TEXT NOT NULL,
    PRIMARY KEY (job_id, bullet)
) STRICT, WITHOUT ROWID;
INSERT INTO uses_of_anything SELECT * FROM bullet_uses;
DROP TABLE bullet_uses;
ALTER TABLE uses_of_anything RENAME TO bullet_uses;
CREATE INDEX bullet_uses_revision ON bullet_uses (revision);
CREATE TRIGGER job_outcomes_of_job AFTER DELETE ON jobs
BEGIN
    DELETE FROM job_outcomes WHERE job_id = OLD.id;
    DELETE FROM bullet_uses WHERE job_id = OLD.id;
END;

-- What the owner says of a job. expected is what a right answer holds, because is how it comes about; share is whether
-- a lesson of it may go into the playbook. state: told, waiting (to be learnt from), learnt, nothing (no lesson helped).
CREATE TABLE feedback (
    job_id   TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    playbook TEXT NOT NULL,
    good     INTEGER NOT NULL,
    expected TEXT,
    because  TEXT,
    share    INTEGER NOT NULL,
    state    TEXT NOT NULL,
    ts_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX feedback_state ON feedback (state, ts_ms);
CREATE INDEX feedback_ts ON feedback (ts_ms);

-- What was changed in the weights of memories after outcomes: the state that a job has been reckoned with in.
CREATE TABLE weighed_jobs (
    job_id  TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    outcome TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the meta-learner found, what it did or would do, and how to take that back. measured, needs (what carrying it out
-- needs) and undo are JSON.
CREATE TABLE meta_actions (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    matter     TEXT NOT NULL,
    about      TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('proposed', 'trying', 'done', 'undone', 'declined', 'failed')),
    finding    TEXT NOT NULL,
    action     TEXT NOT NULL,
    measured   TEXT NOT NULL,
    needs      TEXT NOT NULL,
    undo       TEXT NOT NULL,
    ts_ms      INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX meta_actions_matter ON meta_actions (matter, seq);
CREATE INDEX meta_actions_state ON meta_actions (state, seq);

-- The settings of this twin that the meta-learner may change. value is JSON.
CREATE TABLE tuning (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_steps_delegated ON job_steps (job_id) WHERE action = 'delegate';
CREATE INDEX job_steps_asked ON job_steps (job_id) WHERE action = 'ask_twin';
