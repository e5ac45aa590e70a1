CREATE TABLE consents (
	id             VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id        VARCHAR(64)  NOT NULL,
	scope          VARCHAR(64)  NOT NULL,
	version        BIGINT       NOT NULL,
	purpose        VARCHAR(500) NOT NULL,
	jurisdiction   VARCHAR(16)  NOT NULL,
	status         VARCHAR(16)  NOT NULL,
	continues      TEXT         NOT NULL,
	granted_at     BIGINT       NOT NULL,
	expires_at     BIGINT       NOT NULL,
	revoked_at     BIGINT       NOT NULL,
	revoke_reason  VARCHAR(500) NOT NULL,
	superseded_by  VARCHAR(36)  NOT NULL,
	-- What a consent can meet before it ends, each at most once: a notice (id@version) that requires its renewal, and the
	-- suppression by Global Privacy Control.
	renewal_notice VARCHAR(96)  NOT NULL,
	renewal_at     BIGINT       NOT NULL,
	suppressed_at  BIGINT       NOT NULL,
	-- The record, which never changes until an erasure.
	purpose_id       VARCHAR(64)  NOT NULL,
	purpose_version  BIGINT       NOT NULL,
	legal_basis      VARCHAR(64)  NOT NULL,
	notice_id        VARCHAR(64)  NOT NULL,
	notice_version   VARCHAR(64)  NOT NULL,
	notice_hash      VARCHAR(64)  NOT NULL,
	notice_language  VARCHAR(35)  NOT NULL,
	notice_served_at BIGINT       NOT NULL,
	method           VARCHAR(16)  NOT NULL,
	ui_context       VARCHAR(200) NOT NULL,
	collection_place VARCHAR(500) NOT NULL,
	acted_by         VARCHAR(16)  NOT NULL,
	acted_via        VARCHAR(16)  NOT NULL,
	acted_via_id     VARCHAR(64)  NOT NULL,
	age_class        VARCHAR(16)  NOT NULL,
	age_threshold    INTEGER      NOT NULL,
	guardian_name     VARCHAR(200) NOT NULL,
	guardian_method   VARCHAR(32)  NOT NULL,
	guardian_evidence VARCHAR(500) NOT NULL,
	gpc_conflict     BOOLEAN      NOT NULL,
	UNIQUE (user_id, scope, version)
);

CREATE UNIQUE INDEX consents_one_active ON consents (user_id, scope) WHERE status = 'active';

CREATE INDEX consents_by_user ON consents (user_id, id);

CREATE INDEX consents_by_grant ON consents (user_id, granted_at);

CREATE TABLE consent_entries (
	id         VARCHAR(36)  NOT NULL PRIMARY KEY,
	consent_id VARCHAR(36)  NOT NULL,
	change     VARCHAR(24)  NOT NULL,
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
