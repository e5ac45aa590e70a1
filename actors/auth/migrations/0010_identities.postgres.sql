-- Providers' accounts with which users sign in. Times are Unix milliseconds, 0 for never.
CREATE TABLE identities (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_id       TEXT    NOT NULL,
    provider      TEXT    NOT NULL, -- its id in the configuration
    issuer        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    email         TEXT    NOT NULL, -- as told last; nothing is found by it
    name          TEXT    NOT NULL,
    sealed        BYTEA,             -- the provider's tokens; NULL once it took them back
    version       BIGINT  NOT NULL, -- of the tokens
    refresh_at    BIGINT  NOT NULL,
    claimed_until BIGINT  NOT NULL, -- whose copy of the actor refreshes them
    lost          BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL,
    used_at       BIGINT  NOT NULL,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, provider)
);
CREATE INDEX identities_due ON identities (refresh_at);
