-- Deleted accounts, and the answers of the actors that erase their data (erasures.go). Times are microseconds since the
-- Unix epoch, 0 for not yet.
CREATE TABLE erasures (
    id           TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL, -- empty once settled, so that nothing identifies the user
    aliases      TEXT   NOT NULL, -- IDs of the user's e-mail messages, separated by spaces; empty once settled
    token_hash   TEXT   NOT NULL,
    round        BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    told_at      BIGINT NOT NULL,
    erased_at    BIGINT NOT NULL,
    settled_at   BIGINT NOT NULL
);
CREATE INDEX erasures_open ON erasures (told_at) WHERE settled_at = 0;
CREATE TABLE erasure_answers (
    erasure_id TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    round      BIGINT NOT NULL,
    items      BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (erasure_id, actor, round)
);
