-- invitations

-- What the owner handed out. An id is a secret until it is used up: whoever knows it is named.
CREATE TABLE invitations (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    did        TEXT NOT NULL,
    url        TEXT NOT NULL,
    goal       TEXT,
    goal_code  TEXT,
    name       TEXT,
    uses       INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE invitation_uses (
    invitation_id TEXT NOT NULL REFERENCES invitations (id) ON DELETE CASCADE,
    did           TEXT NOT NULL,
    used_ms       INTEGER NOT NULL,
    PRIMARY KEY (invitation_id, did)
) STRICT, WITHOUT ROWID;

-- What a message that came in was carried by: libp2p, http, websocket or mediator.
ALTER TABLE inbox ADD COLUMN via TEXT;
