-- Mails on their way, and the single-use tokens that some of them carry (letters.go). A letter's id is an addressee:
-- the notification actor asks get_contact for it, so that a mail with a token is in nobody's list of notifications.
CREATE TABLE letters (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_id       TEXT    NOT NULL,
    to_user       BOOLEAN NOT NULL, -- a notice that the user may list
    email         TEXT    NOT NULL,
    purpose       TEXT    NOT NULL,
    token_hash    TEXT    UNIQUE,   -- NULL: no token, or a used one
    password_hash TEXT    NOT NULL, -- what a verification brings into force
    sealed        BYTEA,            -- the text; NULL once it is handed over
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL
);
CREATE INDEX letters_email ON letters (email, purpose, created_at);
CREATE INDEX letters_user ON letters (user_id);
