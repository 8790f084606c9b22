-- What the swarm answered lately, so that it is not asked the same again. vector: float32 of the embedder model_id.
-- answer: the body of the answer as it came, in JSON.

CREATE TABLE answered (
    id       INTEGER PRIMARY KEY,
    question TEXT NOT NULL,
    model_id TEXT NOT NULL,
    vector   BLOB NOT NULL,
    answer   BLOB NOT NULL,
    did      TEXT NOT NULL,
    kept_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX answered_did ON answered (did);
CREATE INDEX answered_kept ON answered (kept_ms);

-- Tools that the twin built for its owner. parameters: a JSON object, what each variable of the formula is.
CREATE TABLE built_tools (
    name        TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    parameters  TEXT NOT NULL,
    expression  TEXT NOT NULL,
    built_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
