CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    hash         TEXT    NOT NULL UNIQUE, -- SHA-256 of 256 random bits
    scopes       TEXT    NOT NULL, -- separated by spaces
    created_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL, -- 0: never
    last_used_at BIGINT  NOT NULL  -- 0: never
);
CREATE INDEX api_keys_user ON api_keys (user_id, id);
