-- Tokens that a provider gave are kept apart from the credentials that the user gave: they change without the user.
-- Times are microseconds since 1970, 0 for none. A claim is the right of one process to ask for new tokens.
ALTER TABLE connections ADD COLUMN tokens        BYTEA;
ALTER TABLE connections ADD COLUMN token_version BIGINT      NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN expires_at    BIGINT      NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN refresh_at    BIGINT      NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN claimed_by    VARCHAR(36) NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN claimed_until BIGINT      NOT NULL DEFAULT 0;

CREATE INDEX connections_to_refresh ON connections (refresh_at) WHERE refresh_at > 0;
