-- Messages committed with their row and not yet acknowledged by JetStream (outbox.go). Its rows live for milliseconds:
-- dead ones are cleared by their number, not by their share of a table that is nearly always empty.
CREATE TABLE weft_outbox (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         TEXT   NOT NULL UNIQUE,
    subject    TEXT   NOT NULL,
    order_key  TEXT   NOT NULL,
    header     BYTEA  NOT NULL,
    data       BYTEA  NOT NULL,
    created_at BIGINT NOT NULL -- Unix milliseconds
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Calls with an idempotency key: reserved, or answered (idempotency.go).
CREATE TABLE weft_idempotency (
    id          TEXT    NOT NULL PRIMARY KEY,
    owner       TEXT    NOT NULL,
    lease_until BIGINT  NOT NULL, -- Unix milliseconds
    expires_at  BIGINT  NOT NULL, -- Unix milliseconds
    done        BOOLEAN NOT NULL,
    sealed      BYTEA   NOT NULL
);
CREATE INDEX weft_idempotency_expires_at ON weft_idempotency (expires_at);
