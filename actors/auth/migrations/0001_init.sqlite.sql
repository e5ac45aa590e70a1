-- Times are microseconds since the Unix epoch; 0 means never, or not yet.

CREATE TABLE users (
    id                     TEXT    NOT NULL PRIMARY KEY,
    email                  TEXT    NOT NULL, -- normalised (normalEmail)
    email_verified         BOOLEAN NOT NULL,
    password_hash          TEXT    NOT NULL, -- empty: no password
    duplicate_registration BOOLEAN NOT NULL DEFAULT FALSE, -- registered again before it was verified (ownership.go)
    first_name             TEXT    NOT NULL,
    last_name              TEXT    NOT NULL,
    avatar_url             TEXT    NOT NULL,
    locale                 TEXT    NOT NULL,
    time_zone              TEXT    NOT NULL,
    roles                  TEXT    NOT NULL, -- separated by spaces
    disabled               BOOLEAN NOT NULL,
    second_factor          TEXT    NOT NULL DEFAULT 'default', -- or required, optional (mfa_policy.go)
    epoch                  INTEGER NOT NULL, -- increases when all sessions of the account end
    erasure_id             TEXT    NOT NULL DEFAULT '', -- of the unverified account that this one replaced, until it has settled
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (email);
CREATE INDEX users_admins ON users (id) WHERE ' ' || roles || ' ' LIKE '% admin %';
CREATE INDEX users_disabled ON users (id) WHERE disabled;
CREATE INDEX users_replacing ON users (erasure_id) WHERE erasure_id <> '';

-- Keys that sign access tokens (keys.go). The slots current and next have one key each; retired keys have no slot.
CREATE TABLE signing_keys (
    kid        TEXT    NOT NULL PRIMARY KEY,
    slot       TEXT    UNIQUE,
    public     BLOB    NOT NULL,
    sealed     BLOB    NOT NULL, -- the Ed25519 seed
    created_at INTEGER NOT NULL,
    current_at INTEGER NOT NULL,
    retired_at INTEGER NOT NULL
);

-- Random keys of the actor, created at the first start (key_store.go).
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
);

-- Outgoing e-mail messages and the single-use tokens that they may carry (mailer.go). The ID of a message is its
-- recipient: the notification actor resolves it with get_contact, so that no user can list a message with a token.
CREATE TABLE messages (
    id         TEXT    NOT NULL PRIMARY KEY,
    user_id    TEXT    NOT NULL,
    to_user    BOOLEAN NOT NULL, -- a notice that the user can list
    email      TEXT    NOT NULL,
    purpose    TEXT    NOT NULL,
    token_hash TEXT    UNIQUE, -- NULL: no token, or a consumed one
    sealed     BLOB, -- the text; NULL after delivery
    created_at INTEGER NOT NULL,
    send_at    INTEGER NOT NULL,
    surplus    BOOLEAN NOT NULL, -- delayed by the budget of its purpose
    source     TEXT    NOT NULL, -- keyed hash of the network that requested it
    expires_at INTEGER NOT NULL
);
CREATE INDEX messages_email ON messages (email, purpose, created_at);
CREATE INDEX messages_user ON messages (user_id);
CREATE INDEX messages_expired ON messages (expires_at);

CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    prefix       TEXT   NOT NULL,
    hash         TEXT   NOT NULL UNIQUE, -- SHA-256 of 256 random bits
    scopes       TEXT   NOT NULL, -- separated by spaces
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX api_keys_user ON api_keys (user_id, id);

CREATE TABLE totp (
    user_id    TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL, -- the shared secret
    confirmed  BOOLEAN NOT NULL,
    last_step  INTEGER NOT NULL, -- of the last code used; no code is accepted twice
    created_at INTEGER NOT NULL
);
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL,
    hash    TEXT NOT NULL, -- SHA-256 of the user ID and the code
    PRIMARY KEY (user_id, hash)
);

-- Accounts at providers with which users sign in.
CREATE TABLE identities (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_id       TEXT    NOT NULL,
    provider      TEXT    NOT NULL, -- its ID in the configuration
    issuer        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    email         TEXT    NOT NULL, -- as of the last sign-in; never used to find the account
    name          TEXT    NOT NULL,
    sealed        BLOB, -- the provider's tokens; NULL if it revoked them
    version       BIGINT  NOT NULL, -- increases with the tokens
    refresh_at    BIGINT  NOT NULL,
    claimed_until BIGINT  NOT NULL, -- lease of the copy of the actor that refreshes the tokens
    needs_reauth  BOOLEAN NOT NULL, -- the provider refuses to refresh the tokens
    created_at    BIGINT  NOT NULL,
    used_at       BIGINT  NOT NULL,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, provider)
);
CREATE INDEX identities_due ON identities (refresh_at);

-- WebAuthn credentials of users.
CREATE TABLE passkeys (
    id              TEXT    NOT NULL PRIMARY KEY,
    user_id         TEXT    NOT NULL,
    credential_id   BLOB    NOT NULL UNIQUE,
    public_key      BLOB    NOT NULL, -- COSE
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

-- Copies of audit events for their users to list (audit_store.go); the record is the stream AUDIT.
CREATE TABLE audit_events (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL, -- 'nobody' if the event concerns no account
    at         BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    ip         TEXT   NOT NULL,
    device     TEXT   NOT NULL,
    session_id TEXT   NOT NULL
);
CREATE INDEX audit_events_user ON audit_events (user_id, at, id);
CREATE INDEX audit_events_at ON audit_events (at);

-- Deleted accounts, and the answers of the actors that erase their data (erasures.go).
CREATE TABLE erasures (
    id           TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL, -- empty once settled, so that nothing identifies the user
    aliases      TEXT   NOT NULL, -- IDs of the user's e-mail messages, separated by spaces; empty once settled
    token_hash   TEXT   NOT NULL,
    round        BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    published_at BIGINT NOT NULL, -- when the actors were last asked to erase the data
    erased_at    BIGINT NOT NULL,
    settled_at   BIGINT NOT NULL
);
CREATE INDEX erasures_open ON erasures (published_at) WHERE settled_at = 0;
CREATE TABLE erasure_answers (
    erasure_id TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    round      BIGINT NOT NULL,
    items      BIGINT NOT NULL,
    at         BIGINT NOT NULL, -- 0 in auth's own answer until the account's sessions have ended everywhere
    PRIMARY KEY (erasure_id, actor, round)
);
CREATE INDEX erasure_answers_open ON erasure_answers (erasure_id) WHERE at = 0;
