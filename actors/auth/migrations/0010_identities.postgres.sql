-- Accounts at providers with which users sign in. Times are microseconds since the Unix epoch, 0 for never.
CREATE TABLE identities (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_id       TEXT    NOT NULL,
    provider      TEXT    NOT NULL, -- its ID in the configuration
    issuer        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    email         TEXT    NOT NULL, -- as of the last sign-in; never used to find the account
    name          TEXT    NOT NULL,
    sealed        BYTEA,             -- the provider's tokens; NULL if it revoked them
    version       BIGINT  NOT NULL, -- increases with the tokens
    refresh_at    BIGINT  NOT NULL,
    claimed_until BIGINT  NOT NULL, -- lease of the copy of the actor that refreshes the tokens
    lost          BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL,
    used_at       BIGINT  NOT NULL,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, provider)
);
CREATE INDEX identities_due ON identities (refresh_at);
