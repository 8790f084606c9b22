-- The twin's mood, and when it was so: it fades from then on.
CREATE TABLE emotion (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    mood       TEXT NOT NULL,
    activation REAL NOT NULL,
    felt_ms    INTEGER NOT NULL
) STRICT;

-- The newest order of each key that may stop this twin. sequence grows with each order of a key, so that none counts twice.
CREATE TABLE fleet_orders (
    author   TEXT PRIMARY KEY,
    stops    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    heard_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
