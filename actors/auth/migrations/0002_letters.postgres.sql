-- Outgoing e-mail messages and the single-use tokens that they may carry (mailer.go). The ID of a message is its
-- recipient: the notification actor resolves it with get_contact, so that no user can list a message with a token.
CREATE TABLE letters (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_id       TEXT    NOT NULL,
    to_user       BOOLEAN NOT NULL, -- a notice that the user can list
    email         TEXT    NOT NULL,
    purpose       TEXT    NOT NULL,
    token_hash    TEXT    UNIQUE,   -- NULL: no token, or a consumed one
    password_hash TEXT    NOT NULL, -- unused, dropped in 0050
    sealed        BYTEA,            -- the text; NULL after delivery
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL
);
CREATE INDEX letters_email ON letters (email, purpose, created_at);
CREATE INDEX letters_user ON letters (user_id);
