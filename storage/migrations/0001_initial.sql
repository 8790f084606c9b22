-- Times are milliseconds since 1970 unless a name says otherwise. AUTOINCREMENT where a number must never return:
-- cursors that others hold, and the ids of the vector index.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How many rows a bounded table has; counting 20,000 rows for every insert would cost more than the insert.
CREATE TABLE row_counts (
    name  TEXT PRIMARY KEY,
    rows  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO row_counts VALUES ('gossip', 0), ('twins', 0);

-- from_did is '' where the sender is anonymous: NULL would defeat the uniqueness.
CREATE TABLE inbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id   TEXT NOT NULL,
    from_did     TEXT NOT NULL,
    to_did       TEXT NOT NULL,
    type         TEXT NOT NULL,
    thid         TEXT,
    plaintext    BLOB NOT NULL,
    created_time INTEGER,
    received_ms  INTEGER NOT NULL,
    status       TEXT NOT NULL,
    UNIQUE (from_did, message_id)
) STRICT;
CREATE INDEX inbox_unhandled ON inbox (seq) WHERE status = 'received';
CREATE INDEX inbox_requests ON inbox (from_did) WHERE status = 'request';

-- thread is thid, or the message's own id where it begins a thread.
CREATE TABLE outbox (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id      TEXT NOT NULL UNIQUE,
    to_did          TEXT NOT NULL,
    type            TEXT NOT NULL,
    thid            TEXT,
    thread          TEXT NOT NULL,
    plaintext       BLOB NOT NULL,
    created_ms      INTEGER NOT NULL,
    expires_ms      INTEGER,
    status          TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_ms INTEGER NOT NULL,
    delivered_ms    INTEGER,
    last_error      TEXT
) STRICT;
CREATE INDEX outbox_queued ON outbox (to_did, thread, seq, next_attempt_ms) WHERE status = 'queued';
CREATE INDEX outbox_queued_in_order ON outbox (to_did, seq) WHERE status = 'queued';

CREATE TABLE event_log (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    ts_ms      INTEGER NOT NULL,
    twin_id    TEXT NOT NULL,
    subject    TEXT,
    source     TEXT NOT NULL,
    trace_id   TEXT,
    payload    BLOB NOT NULL,
    hash       BLOB NOT NULL
) STRICT;
CREATE INDEX event_log_type ON event_log (event_type, seq);

-- The last entry, kept apart so that cutting entries off the end shows.
CREATE TABLE event_log_head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO event_log_head VALUES (1, 0, zeroblob(32));

CREATE TABLE gossip (
    cursor       INTEGER PRIMARY KEY AUTOINCREMENT,
    type         TEXT NOT NULL,
    author       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    message_id   TEXT NOT NULL,
    created_time INTEGER NOT NULL,
    signed       BLOB NOT NULL,
    UNIQUE (author, type, subject)
) STRICT;
CREATE INDEX gossip_author ON gossip (author, cursor);
CREATE TRIGGER gossip_added AFTER INSERT ON gossip
BEGIN UPDATE row_counts SET rows = rows + 1 WHERE name = 'gossip'; END;
CREATE TRIGGER gossip_removed AFTER DELETE ON gossip
BEGIN UPDATE row_counts SET rows = rows - 1 WHERE name = 'gossip'; END;

CREATE TABLE twins (
    did          TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    addresses    TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    topics       TEXT NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    online       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX twins_seen ON twins (last_seen_ms);
CREATE TRIGGER twins_added AFTER INSERT ON twins
BEGIN UPDATE row_counts SET rows = rows + 1 WHERE name = 'twins'; END;
CREATE TRIGGER twins_removed AFTER DELETE ON twins
BEGIN UPDATE row_counts SET rows = rows - 1 WHERE name = 'twins'; END;

-- The first values trust nobody and adopt nothing unasked.
CREATE TABLE trust (
    one                  INTEGER PRIMARY KEY CHECK (one = 1),
    allow                TEXT NOT NULL,
    block                TEXT NOT NULL,
    reputation_threshold REAL NOT NULL,
    auto_adopt           INTEGER NOT NULL
) STRICT;
INSERT INTO trust VALUES (1, '[]', '[]', 1.0, 0);

CREATE TABLE revisions (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    cid         TEXT NOT NULL UNIQUE,
    payload_cid TEXT NOT NULL,
    playbook    TEXT NOT NULL,
    author      TEXT NOT NULL,
    height      INTEGER NOT NULL,
    ts_ms       INTEGER NOT NULL,
    critique    TEXT NOT NULL,
    status      TEXT NOT NULL,
    reason      TEXT,
    updated_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX revisions_playbook ON revisions (playbook, seq);
CREATE INDEX revisions_status ON revisions (playbook, status, height);

CREATE TABLE pins (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    cid  TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT
) STRICT;

CREATE TABLE memories (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    content    TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    role       TEXT,
    session_id TEXT,
    tags       TEXT NOT NULL,
    source     TEXT,
    ts_ms      INTEGER NOT NULL,
    model_id   TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    vector     BLOB NOT NULL
) STRICT;
CREATE INDEX memories_place ON memories (namespace, kind, seq);
CREATE INDEX memories_session ON memories (session_id, seq) WHERE session_id IS NOT NULL;

CREATE TABLE jobs (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    goal       TEXT NOT NULL,
    session_id TEXT,
    status     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    answer     TEXT,
    reflection TEXT
) STRICT;
CREATE INDEX jobs_status ON jobs (status, seq);

CREATE TABLE job_steps (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    n      INTEGER NOT NULL,
    action TEXT NOT NULL,
    input  BLOB NOT NULL,
    output BLOB,
    ms     REAL NOT NULL,
    PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_log (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    ts_ms  INTEGER NOT NULL,
    level  TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;
CREATE INDEX job_log_job ON job_log (job_id, seq);
