-- What is known of a memory besides its text. happened_ms is when it happened, ts_ms when it was kept. expires_ms is for
-- working memory alone. merged_into is the newer row that says the same: this one is kept for where it came from, is not
-- recalled, and comes back if that row goes.
ALTER TABLE memories ADD COLUMN importance REAL NOT NULL DEFAULT 0.5;
ALTER TABLE memories ADD COLUMN mood TEXT;
ALTER TABLE memories ADD COLUMN activation REAL;
ALTER TABLE memories ADD COLUMN outcome TEXT;
ALTER TABLE memories ADD COLUMN with_did TEXT;
ALTER TABLE memories ADD COLUMN expires_ms INTEGER;
ALTER TABLE memories ADD COLUMN happened_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memories ADD COLUMN merged_into INTEGER REFERENCES memories (seq) ON DELETE SET NULL;
UPDATE memories SET happened_ms = ts_ms;
CREATE INDEX memories_merged ON memories (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX memories_happened ON memories (kind, happened_ms);
CREATE INDEX memories_source ON memories (source, seq) WHERE source IS NOT NULL;
CREATE INDEX memories_expiring ON memories (expires_ms) WHERE expires_ms IS NOT NULL;

-- `derived`: `memory` was made from `other`. `contradicts`: `memory` says otherwise than the older `other`.
CREATE TABLE memory_links (
    kind   TEXT NOT NULL CHECK (kind IN ('derived', 'contradicts')),
    memory INTEGER NOT NULL REFERENCES memories (seq) ON DELETE CASCADE,
    other  INTEGER NOT NULL REFERENCES memories (seq) ON DELETE CASCADE,
    PRIMARY KEY (kind, memory, other)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_links_memory ON memory_links (memory);
CREATE INDEX memory_links_other ON memory_links (other, kind);

-- Who may be told of what stands in a namespace. One that is not here is private. `fixed`: only the owner writes it.
CREATE TABLE namespaces (
    name        TEXT PRIMARY KEY,
    privacy     TEXT NOT NULL CHECK (privacy IN ('private', 'ask', 'shared')),
    description TEXT NOT NULL,
    fixed       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO namespaces VALUES
    ('private', 'private', 'What never leaves this twin. Memories go here unless they say otherwise.', 0),
    ('ask', 'ask', 'What another twin may be told after you have approved that very answer.', 0),
    ('shared', 'shared', 'What every twin that you named may be told.', 0),
    ('soul', 'private', 'Who the twin is, how it speaks and what it never does. Only you write it.', 1),
    ('domain', 'private', 'What the twin knows of its subjects.', 0),
    ('body', 'private', 'The tools and the machine that the twin has. It keeps this current itself.', 0),
    ('heart', 'private', 'What happened: the summaries of conversations.', 0),
    ('mind', 'private', 'What the twin learnt for itself from how its work went.', 0);

-- How far each of the tasks of consolidation has come, so that a restart goes on from there.
CREATE TABLE consolidation (
    task TEXT PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Vectors and full text.
-- Which rows a vector index is over, read without their vectors.
CREATE INDEX memories_vectors ON memories (model_id, namespace, kind, seq);

-- The words of what is not working memory. Triggers may not touch a virtual table (trusted_schema is off), so a deletion
-- leaves its text here until the index has followed, and the transaction that keeps a row puts it in.
CREATE VIRTUAL TABLE memories_text USING fts5 (
    content, content = 'memories', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO memories_text (rowid, content) SELECT seq, content FROM memories WHERE kind <> 'working';
CREATE TABLE memories_text_gone (
    seq     INTEGER PRIMARY KEY,
    content TEXT NOT NULL
) STRICT;
CREATE TRIGGER memories_text_deleted AFTER DELETE ON memories WHEN old.kind <> 'working' BEGIN
    INSERT INTO memories_text_gone (seq, content) VALUES (old.seq, old.content);
END;
