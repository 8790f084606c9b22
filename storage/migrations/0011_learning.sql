-- What came of a job that a playbook had bullets for. outcome: good, bad, unknown. source: job (how it ended), owner (what
-- the owner said of it). counted: whether a revision has said so.

CREATE TABLE job_outcomes (
    job_id     TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    playbook   TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    source     TEXT NOT NULL,
    counted    INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_outcomes_uncounted ON job_outcomes (playbook) WHERE counted = 0;

-- The bullets that fitted. use: adopted, tried (given while it was tried on a share of the jobs), kept_back (not given,
-- being tried on others).
CREATE TABLE bullet_uses (
    job_id   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    bullet   TEXT NOT NULL,
    revision TEXT NOT NULL,
    use      TEXT NOT NULL,
    PRIMARY KEY (job_id, bullet)
) STRICT, WITHOUT ROWID;
CREATE INDEX bullet_uses_revision ON bullet_uses (revision);
