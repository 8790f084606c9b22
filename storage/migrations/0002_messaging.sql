-- messaging

-- `sent`: handed to a mediator, or to a socket that acknowledges nothing; the recipient itself has not said that it has
-- it. sent_ms is the last such handing over, via what the message last went by, acked 1 once the recipient said so.
ALTER TABLE outbox ADD COLUMN form TEXT NOT NULL DEFAULT 'authcrypt';
ALTER TABLE outbox ADD COLUMN pthid TEXT;
ALTER TABLE outbox ADD COLUMN via TEXT;
ALTER TABLE outbox ADD COLUMN sent_ms INTEGER;
ALTER TABLE outbox ADD COLUMN acked INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_sent ON outbox (to_did, thread, seq, next_attempt_ms) WHERE status = 'sent';

-- Whom we know by other ways than announcements: services is a JSON array of DIDCommMessaging endpoints.
CREATE TABLE contacts (
    did        TEXT PRIMARY KEY,
    name       TEXT,
    services   TEXT NOT NULL,
    source     TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX contacts_updated ON contacts (updated_ms);
