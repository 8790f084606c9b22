-- Names of our own beside the did:key: every did:peer that was handed out.
CREATE TABLE own_dids (
    did        TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which DID took the place of which. followed_ms is NULL for what was only heard; conflict is another successor that
-- the same DID named, which was refused.
CREATE TABLE successions (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    old         TEXT NOT NULL UNIQUE,
    new         TEXT NOT NULL,
    credential  TEXT NOT NULL,
    heard_ms    INTEGER NOT NULL,
    followed_ms INTEGER,
    conflict    TEXT
) STRICT;
CREATE INDEX successions_new ON successions (new);

-- Who knew us by a name that we gave up, and is told so with each message until then.
CREATE TABLE succession_told (
    did      TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
