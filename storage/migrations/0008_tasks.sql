-- Tasks of the contract net: those that this twin gave, and those of others that it bid for. `result` and `receipt`
-- are JSON; due_ms is when something has to happen without a message.
CREATE TABLE tasks (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL,
    requester    TEXT NOT NULL,
    task         TEXT NOT NULL,
    requirements TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    deadline_ms  INTEGER NOT NULL,
    status       TEXT NOT NULL,
    due_ms       INTEGER,
    worker       TEXT,
    note         TEXT,
    result       BLOB,
    receipt      BLOB,
    receipt_cid  TEXT,
    UNIQUE (requester, id)
) STRICT;
CREATE INDEX tasks_due ON tasks (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX tasks_id ON tasks (id);

-- One row for each twin on the other side of a task. `state` is of the contract net's table.
CREATE TABLE contracts (
    requester   TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    peer        TEXT NOT NULL,
    state       TEXT NOT NULL,
    confidence  REAL NOT NULL,
    eta_s       INTEGER NOT NULL,
    percent     INTEGER NOT NULL DEFAULT 0,
    note        TEXT,
    updated_ms  INTEGER NOT NULL,
    PRIMARY KEY (requester, task_id, peer)
) STRICT, WITHOUT ROWID;
