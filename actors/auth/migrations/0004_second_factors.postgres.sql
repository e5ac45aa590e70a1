CREATE TABLE totp (
    user_id    TEXT    NOT NULL PRIMARY KEY,
    sealed     BYTEA   NOT NULL, -- the shared secret
    confirmed  BOOLEAN NOT NULL,
    last_step  BIGINT  NOT NULL, -- of the last code used; no code is accepted twice
    created_at BIGINT  NOT NULL
);
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL,
    hash    TEXT NOT NULL, -- SHA-256 of the user ID and the code
    PRIMARY KEY (user_id, hash)
);
