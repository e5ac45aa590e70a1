-- Messages that are committed and not yet acknowledged by JetStream.
CREATE TABLE weft_outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    subject    TEXT    NOT NULL,
    order_key  TEXT    NOT NULL,
    header     BLOB    NOT NULL,
    data       BLOB    NOT NULL,
    created_at INTEGER NOT NULL -- microseconds since the Unix epoch
);

-- Calls with an idempotency key, reserved or answered.
CREATE TABLE weft_idempotency (
    id          TEXT    NOT NULL PRIMARY KEY,
    owner       TEXT    NOT NULL,
    lease_until INTEGER NOT NULL, -- microseconds since the Unix epoch
    expires_at  INTEGER NOT NULL, -- microseconds since the Unix epoch
    done        BOOLEAN NOT NULL,
    caller      TEXT    NOT NULL, -- a hash of the caller
    bytes       INTEGER NOT NULL, -- what the record counts: the length of sealed, and an overhead
    sealed      BLOB    NOT NULL
);
CREATE INDEX weft_idempotency_expires_at ON weft_idempotency (expires_at);
CREATE INDEX weft_idempotency_caller ON weft_idempotency (caller, bytes);
