-- Which bullets a job was given, and what came of the job. arm: usual, canary. outcome: good, bad, unknown.

CREATE TABLE job_outcomes (
    job_id     TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    playbook   TEXT NOT NULL,
    arm        TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    source     TEXT NOT NULL,
    counted    INTEGER NOT NULL DEFAULT 0,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bullet_uses (
    job_id   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    bullet   TEXT NOT NULL,
    revision TEXT NOT NULL,
    PRIMARY KEY (job_id, bullet)
) STRICT, WITHOUT ROWID;
CREATE INDEX bullet_uses_bullet ON bullet_uses (bullet);
CREATE INDEX bullet_uses_revision ON bullet_uses (revision);
