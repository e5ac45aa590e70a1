-- Under what id the ledger knows a user, and the key that seals what it says of them. Whose row is gone is nobody to the
-- ledger, which cannot forget.
CREATE TABLE consent_subjects (
	user_id    VARCHAR(64) NOT NULL PRIMARY KEY,
	id         VARCHAR(36) NOT NULL UNIQUE,
	sealed_key BYTEA       NOT NULL
);
