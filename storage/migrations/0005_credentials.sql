-- Credentials that this twin has issued or holds, and the status lists of those it has issued.

-- place is the public URL under which the list is served, or '' where it is asked for by DIDComm.
CREATE TABLE status_lists (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer     TEXT NOT NULL,
    place      TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    used       INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX status_lists_open ON status_lists (issuer, place, purpose, n);

-- Indexes that are given away, also to credentials that were never finished: none is given twice.
CREATE TABLE status_indexes (
    list INTEGER NOT NULL REFERENCES status_lists (n),
    idx  INTEGER NOT NULL,
    PRIMARY KEY (list, idx)
) STRICT, WITHOUT ROWID;

-- form is 'json' or 'jwt'; subject is '' where the credential names none.
CREATE TABLE credentials (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL,
    role           TEXT NOT NULL,
    type           TEXT NOT NULL,
    issuer         TEXT NOT NULL,
    subject        TEXT NOT NULL,
    form           TEXT NOT NULL,
    document       BLOB NOT NULL,
    status_list    INTEGER,
    status_index   INTEGER,
    revoked_ms     INTEGER,
    valid_until_ms INTEGER,
    ts_ms          INTEGER NOT NULL,
    UNIQUE (role, id)
) STRICT;
CREATE INDEX credentials_type ON credentials (type, seq);
CREATE INDEX credentials_revoked ON credentials (status_list, status_index) WHERE revoked_ms IS NOT NULL;
