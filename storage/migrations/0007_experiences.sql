-- What this twin has seen others do, one row for each thing that happened. Both numbers are weights of 0 or more.
CREATE TABLE experiences (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    did   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    ref   TEXT NOT NULL,
    good  REAL NOT NULL,
    bad   REAL NOT NULL,
    ts_ms INTEGER NOT NULL,
    UNIQUE (did, kind, ref)
) STRICT;
