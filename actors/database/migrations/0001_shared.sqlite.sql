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
CREATE INDEX weft_outbox_order_key ON weft_outbox (order_key, seq);

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

-- Messages that a worker has deferred until they are due. A row that is being handled is due again when its lease ends.
CREATE TABLE weft_deferred (
    id        TEXT    NOT NULL PRIMARY KEY, -- of the delivery: durable, sequence and time in the stream
    durable   TEXT    NOT NULL,
    user_id   TEXT    NOT NULL, -- empty if the message names none
    due_at    INTEGER NOT NULL, -- microseconds since the Unix epoch
    size      INTEGER NOT NULL, -- bytes of header and data
    subject   TEXT    NOT NULL,
    sequence  INTEGER NOT NULL,
    header    BLOB    NOT NULL,
    data      BLOB    NOT NULL,
    tries     INTEGER NOT NULL,
    stored_at INTEGER NOT NULL, -- microseconds since the Unix epoch
    instance  TEXT    NOT NULL, -- the process that stored it
    done      BOOLEAN NOT NULL  -- handled, and kept so that a redelivery is recognised
);
CREATE INDEX weft_deferred_due ON weft_deferred (durable, user_id, due_at, size);

-- The row that health checks write.
CREATE TABLE weft_heartbeat (
    beat_at INTEGER NOT NULL PRIMARY KEY, -- microseconds since the Unix epoch
    fill    BLOB    NOT NULL
);
