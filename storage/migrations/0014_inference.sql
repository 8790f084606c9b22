-- Providers of models, what each was used for and what it cost.

-- Money is counted in millionths of the currency in which the owner gave the prices.
CREATE TABLE providers (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('openai', 'anthropic')),
    base_url TEXT NOT NULL,
    model TEXT NOT NULL,
    sees_private INTEGER NOT NULL,
    capable INTEGER NOT NULL,
    context_tokens INTEGER NOT NULL,
    price_in REAL NOT NULL,
    price_out REAL NOT NULL,
    sealed_key BLOB,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    day TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    PRIMARY KEY (day, provider, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_usage (
    session_id TEXT PRIMARY KEY,
    tokens INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_usage_by_age ON session_usage (updated_ms);

-- Calls to providers that are under way: what one may cost at most is on disk before it is made.
CREATE TABLE usage_open (
    id TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    session_id TEXT,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Models of this twin's own: where each one's file lies and what it must be. `own_file` says that it is ours to remove.
CREATE TABLE local_models (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    own_file INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    weights TEXT,
    licence TEXT,
    licence_url TEXT,
    cid TEXT,
    share_error TEXT,
    added_ms INTEGER NOT NULL
) STRICT;
