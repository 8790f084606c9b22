-- What this twin keeps for others, and what others keep for it. status: queued, pinning, pinned, failed.

CREATE TABLE hosted_pins (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    client     TEXT NOT NULL,
    cid        TEXT NOT NULL,
    name       TEXT,
    status     TEXT NOT NULL,
    reason     TEXT,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    UNIQUE (client, cid)
) STRICT;

CREATE TABLE remote_pins (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    host       TEXT NOT NULL,
    cid        TEXT NOT NULL,
    name       TEXT,
    status     TEXT NOT NULL,
    reason     TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    UNIQUE (host, cid)
) STRICT;

-- What is pinned in the Kubo that holds the content, beside `pins`, which are of our own store.
CREATE TABLE kubo_pins (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    cid  TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT
) STRICT;
