-- The id of a user in the ledger, and the sealed key that encrypts the personal part of the user's ledger entries. The
-- ledger is append-only: deleting a row here makes its entries unreadable for good.
CREATE TABLE consent_subjects (
	user_id    VARCHAR(64) NOT NULL PRIMARY KEY,
	id         VARCHAR(36) NOT NULL UNIQUE,
	sealed_key BYTEA       NOT NULL
);
