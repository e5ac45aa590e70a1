-- Times are microseconds since the Unix epoch.
CREATE TABLE users (
    id             TEXT    NOT NULL PRIMARY KEY,
    email          TEXT    NOT NULL, -- normalised (normalEmail)
    email_verified BOOLEAN NOT NULL,
    password_hash  TEXT    NOT NULL, -- empty: no password
    first_name     TEXT    NOT NULL,
    last_name      TEXT    NOT NULL,
    avatar_url     TEXT    NOT NULL,
    locale         TEXT    NOT NULL,
    time_zone      TEXT    NOT NULL,
    roles          TEXT    NOT NULL, -- separated by spaces
    disabled       BOOLEAN NOT NULL,
    epoch          BIGINT NOT NULL, -- increases when all sessions of the account end
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (email);

-- Keys that sign access tokens (keys.go). The slots current and next have one key each; retired keys have no slot.
CREATE TABLE signing_keys (
    kid        TEXT    NOT NULL PRIMARY KEY,
    slot       TEXT    UNIQUE,
    public     BYTEA   NOT NULL,
    sealed     BYTEA   NOT NULL, -- the Ed25519 seed
    created_at BIGINT NOT NULL,
    current_at BIGINT NOT NULL, -- 0: not yet
    retired_at BIGINT NOT NULL  -- 0: not yet
);

-- Random keys of the actor, created at the first start (key_store.go).
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);
