CREATE TABLE devices (
	id            VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id       VARCHAR(64) NOT NULL,
	platform      VARCHAR(8)  NOT NULL,
	-- SHA-256 of the platform and the token or endpoint: one device has one user.
	token_hash    VARCHAR(64) NOT NULL UNIQUE,
	-- Sealed: the token, or the endpoint and keys of a push subscription.
	address       TEXT        NOT NULL,
	name          VARCHAR(64) NOT NULL,
	created_at    BIGINT      NOT NULL,
	registered_at BIGINT      NOT NULL
);

CREATE INDEX devices_by_user ON devices (user_id, id);

-- A user has at most one verified number and one that waits for its code.
CREATE TABLE phones (
	user_id       VARCHAR(64) NOT NULL,
	-- verified or pending.
	state         VARCHAR(8)  NOT NULL,
	-- Sealed, in E.164.
	number        TEXT        NOT NULL,
	-- HMACs under the actor's own key.
	number_mac    VARCHAR(64) NOT NULL,
	code_mac      VARCHAR(64) NOT NULL,
	expires_at    BIGINT      NOT NULL,
	attempts      INTEGER     NOT NULL,
	verified_at   BIGINT      NOT NULL,
	suppressed_at BIGINT      NOT NULL,
	PRIMARY KEY (user_id, state)
);

CREATE INDEX phones_pending ON phones (expires_at) WHERE state = 'pending';

-- The codes sent in the last day, for bounds.
CREATE TABLE phone_codes (
	id         VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64) NOT NULL,
	number_mac VARCHAR(64) NOT NULL,
	range_mac  VARCHAR(64) NOT NULL,
	sent_at    BIGINT      NOT NULL
);

CREATE INDEX phone_codes_by_user ON phone_codes (user_id, sent_at);

CREATE INDEX phone_codes_by_number ON phone_codes (number_mac, sent_at);

CREATE INDEX phone_codes_by_range ON phone_codes (range_mac, sent_at);

CREATE INDEX phone_codes_by_time ON phone_codes (sent_at);

-- The actor's own random keys, sealed.
CREATE TABLE channel_keys (
	name   VARCHAR(32) NOT NULL PRIMARY KEY,
	sealed TEXT        NOT NULL
);
