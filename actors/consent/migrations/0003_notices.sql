-- The versions of notices, which never change.
CREATE TABLE consent_notices (
	notice_id        VARCHAR(64) NOT NULL,
	version          BIGINT      NOT NULL,
	purpose_id       VARCHAR(64) NOT NULL,
	scope            VARCHAR(64) NOT NULL,
	change           VARCHAR(16) NOT NULL,
	default_language VARCHAR(35) NOT NULL,
	published_at     BIGINT      NOT NULL,
	-- The marking of consents that a material change asks to be renewed: how many were marked, the last consent that was looked at, when
	-- the process that does it must have reported again, and whether it is done.
	renewals         BIGINT      NOT NULL,
	renewal_cursor   VARCHAR(36) NOT NULL,
	claimed_until    BIGINT      NOT NULL,
	renewals_done    BOOLEAN     NOT NULL,
	PRIMARY KEY (notice_id, version)
);

CREATE INDEX consent_notices_by_time ON consent_notices (published_at, notice_id, version);

CREATE INDEX consent_notices_by_scope ON consent_notices (scope, change, published_at);

CREATE INDEX consent_notices_pending ON consent_notices (published_at) WHERE renewals_done = FALSE;

CREATE TABLE consent_notice_texts (
	notice_id VARCHAR(64)  NOT NULL,
	version   BIGINT       NOT NULL,
	language  VARCHAR(35)  NOT NULL,
	title     VARCHAR(200) NOT NULL,
	text      TEXT         NOT NULL,
	hash      VARCHAR(64)  NOT NULL,
	PRIMARY KEY (notice_id, version, language)
);

CREATE INDEX consents_by_scope ON consents (scope, id) WHERE status = 'active';

-- The actor's own signing keys, sealed.
CREATE TABLE consent_keys (
	name       VARCHAR(32) NOT NULL PRIMARY KEY,
	id         VARCHAR(36) NOT NULL,
	sealed_key BYTEA       NOT NULL
);

-- The standing directives of accounts whose Global Privacy Control was seen. applied says that guards deny what it suppresses.
CREATE TABLE consent_gpc (
	user_id VARCHAR(64) NOT NULL PRIMARY KEY,
	region  VARCHAR(16) NOT NULL,
	since   BIGINT      NOT NULL,
	applied BOOLEAN     NOT NULL
);

CREATE INDEX consent_gpc_pending ON consent_gpc (user_id) WHERE applied = FALSE;
