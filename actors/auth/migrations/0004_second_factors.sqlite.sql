CREATE TABLE totp (
    user_id    TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL, -- the shared secret
    confirmed  BOOLEAN NOT NULL,
    last_step  INTEGER NOT NULL, -- of the last code taken: none is taken twice
    created_at INTEGER NOT NULL
);
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL,
    hash    TEXT NOT NULL, -- SHA-256 of 80 random bits, with the user
    PRIMARY KEY (user_id, hash)
);
