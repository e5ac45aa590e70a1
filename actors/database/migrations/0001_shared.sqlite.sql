-- Messages committed with their row and not yet acknowledged by JetStream (outbox.go).
CREATE TABLE weft_outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    subject    TEXT    NOT NULL,
    order_key  TEXT    NOT NULL,
    header     BLOB    NOT NULL,
    data       BLOB    NOT NULL,
    created_at INTEGER NOT NULL -- Unix milliseconds
);

-- Calls with an idempotency key: reserved, or answered (idempotency.go).
CREATE TABLE weft_idempotency (
    id          TEXT    NOT NULL PRIMARY KEY,
    owner       TEXT    NOT NULL,
    lease_until INTEGER NOT NULL, -- Unix milliseconds
    expires_at  INTEGER NOT NULL, -- Unix milliseconds
    done        BOOLEAN NOT NULL,
    sealed      BLOB    NOT NULL
);
CREATE INDEX weft_idempotency_expires_at ON weft_idempotency (expires_at);
