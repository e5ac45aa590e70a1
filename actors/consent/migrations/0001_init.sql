CREATE TABLE consents (
	id             VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id        VARCHAR(64)  NOT NULL,
	scope          VARCHAR(64)  NOT NULL,
	version        BIGINT       NOT NULL,
	purpose        VARCHAR(500) NOT NULL,
	notice_version VARCHAR(64)  NOT NULL,
	jurisdiction   VARCHAR(16)  NOT NULL,
	status         VARCHAR(16)  NOT NULL,
	continues      TEXT         NOT NULL,
	granted_at     BIGINT       NOT NULL,
	expires_at     BIGINT       NOT NULL,
	revoked_at     BIGINT       NOT NULL,
	revoke_reason  VARCHAR(500) NOT NULL,
	superseded_by  VARCHAR(36)  NOT NULL,
	UNIQUE (user_id, scope, version)
);

CREATE UNIQUE INDEX consents_one_active ON consents (user_id, scope) WHERE status = 'active';

CREATE INDEX consents_by_user ON consents (user_id, id);

CREATE INDEX consents_by_grant ON consents (user_id, granted_at);

CREATE TABLE consent_entries (
	id         VARCHAR(36)  NOT NULL PRIMARY KEY,
	consent_id VARCHAR(36)  NOT NULL,
	change     VARCHAR(16)  NOT NULL,
	at         BIGINT       NOT NULL,
	reason     VARCHAR(500) NOT NULL,
	-- The salt of the ledger's commitment to this row and the consent's; empty once the person was erased.
	salt       BYTEA        NOT NULL
);

CREATE INDEX consent_entries_by_consent ON consent_entries (consent_id, id);

-- The id of a user in the ledger, and the sealed key that encrypts the personal part of the user's ledger entries. The
-- ledger is append-only: deleting a row here makes its entries permanently unreadable.
CREATE TABLE consent_subjects (
	user_id    VARCHAR(64) NOT NULL PRIMARY KEY,
	id         VARCHAR(36) NOT NULL UNIQUE,
	sealed_key BYTEA       NOT NULL
);
