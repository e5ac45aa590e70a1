-- The keys that sign receipts. The newest one that can be opened signs; the others stay, so that what they have signed can be verified.
CREATE TABLE receipt_keys (
	id         VARCHAR(36) NOT NULL PRIMARY KEY,
	public     BYTEA       NOT NULL,
	sealed_key BYTEA       NOT NULL,
	created_at BIGINT      NOT NULL
);
