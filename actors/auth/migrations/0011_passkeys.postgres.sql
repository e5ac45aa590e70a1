-- WebAuthn credentials of users. Times are microseconds since the Unix epoch, 0 for never.
CREATE TABLE passkeys (
    id              TEXT    NOT NULL PRIMARY KEY,
    user_id         TEXT    NOT NULL,
    credential_id   BYTEA   NOT NULL UNIQUE,
    public_key      BYTEA   NOT NULL, -- COSE
    name            TEXT    NOT NULL,
    transports      TEXT    NOT NULL, -- separated by spaces
    sign_count      BIGINT  NOT NULL, -- the highest seen; 0 if the authenticator does not count
    backup_eligible BOOLEAN NOT NULL,
    backed_up       BOOLEAN NOT NULL,
    suspended       BOOLEAN NOT NULL, -- its signature count decreased
    created_at      BIGINT  NOT NULL,
    used_at         BIGINT  NOT NULL
);
CREATE INDEX passkeys_user ON passkeys (user_id, id);
