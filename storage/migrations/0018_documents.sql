-- Documents whose pieces are remembered. source is a path or a URL, and that of the memories; digest and reader say
-- whether reading it again could find anything new.
CREATE TABLE documents (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    source     TEXT NOT NULL UNIQUE,
    title      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    reader     INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    pieces     INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
