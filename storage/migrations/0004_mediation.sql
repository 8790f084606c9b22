-- Mail that a relay keeps for others, and the mediators that keep a twin's own.

-- messages and bytes count what waits for the client: its quota is checked for every message.
CREATE TABLE mediation_clients (
    client     INTEGER PRIMARY KEY,
    did        TEXT NOT NULL UNIQUE,
    version    TEXT NOT NULL,
    granted_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL,
    messages   INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX mediation_clients_seen ON mediation_clients (seen_ms);

CREATE TABLE mediation_keys (
    recipient TEXT PRIMARY KEY,
    client    INTEGER NOT NULL REFERENCES mediation_clients (client) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX mediation_keys_client ON mediation_keys (client);

-- id is made of the packed bytes: the same bytes again while they wait are the same message.
CREATE TABLE mediation_queue (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    client      INTEGER NOT NULL REFERENCES mediation_clients (client) ON DELETE CASCADE,
    id          TEXT NOT NULL,
    recipient   TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    packed      BLOB NOT NULL,
    UNIQUE (client, id)
) STRICT;
CREATE INDEX mediation_queue_client ON mediation_queue (client, seq);
CREATE INDEX mediation_queue_received ON mediation_queue (received_ms);

INSERT INTO row_counts VALUES ('mediation_clients', 0), ('mediation_bytes', 0);
CREATE TRIGGER mediation_client_added AFTER INSERT ON mediation_clients
BEGIN UPDATE row_counts SET rows = rows + 1 WHERE name = 'mediation_clients'; END;
CREATE TRIGGER mediation_client_removed AFTER DELETE ON mediation_clients
BEGIN UPDATE row_counts SET rows = rows - 1 WHERE name = 'mediation_clients'; END;
CREATE TRIGGER mediation_message_added AFTER INSERT ON mediation_queue
BEGIN
    UPDATE mediation_clients SET messages = messages + 1, bytes = bytes + new.bytes WHERE client = new.client;
    UPDATE row_counts SET rows = rows + new.bytes WHERE name = 'mediation_bytes';
END;
CREATE TRIGGER mediation_message_moved AFTER UPDATE OF client ON mediation_queue
BEGIN
    UPDATE mediation_clients SET messages = messages - 1, bytes = bytes - old.bytes WHERE client = old.client;
    UPDATE mediation_clients SET messages = messages + 1, bytes = bytes + new.bytes WHERE client = new.client;
END;
CREATE TRIGGER mediation_message_removed AFTER DELETE ON mediation_queue
BEGIN
    UPDATE mediation_clients SET messages = messages - 1, bytes = bytes - old.bytes WHERE client = old.client;
    UPDATE row_counts SET rows = rows - old.bytes WHERE name = 'mediation_bytes';
END;

-- A twin's own mediators. did is the relay's, routing_did the one that senders wrap their forwards for.
CREATE TABLE mediators (
    did          TEXT PRIMARY KEY,
    version      TEXT NOT NULL,
    routing_did  TEXT NOT NULL,
    uris         TEXT NOT NULL,
    granted_ms   INTEGER NOT NULL,
    picked_up_ms INTEGER
) STRICT, WITHOUT ROWID;

ALTER TABLE twins ADD COLUMN mediators TEXT NOT NULL DEFAULT '[]';
