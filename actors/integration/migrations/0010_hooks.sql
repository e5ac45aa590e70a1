CREATE TABLE hooks (
	id            VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id       VARCHAR(64) NOT NULL,
	connection_id VARCHAR(36) NOT NULL,
	provider      VARCHAR(64) NOT NULL,
	label         VARCHAR(64) NOT NULL,
	secret        BYTEA,
	old_secret    BYTEA,
	old_until     BIGINT      NOT NULL,
	opened_at     BIGINT      NOT NULL,
	reveal        BIGINT      NOT NULL,
	version       BIGINT      NOT NULL,
	received_at   BIGINT      NOT NULL,
	created_at    BIGINT      NOT NULL,
	updated_at    BIGINT      NOT NULL
);

CREATE INDEX hooks_by_connection ON hooks (connection_id, id);

CREATE INDEX hooks_by_user ON hooks (user_id);

-- What was delivered, so that nothing is told twice.
CREATE TABLE hook_deliveries (
	hook_id VARCHAR(36) NOT NULL,
	key     VARCHAR(64) NOT NULL,
	at      BIGINT      NOT NULL,
	PRIMARY KEY (hook_id, key)
);

CREATE INDEX hook_deliveries_by_time ON hook_deliveries (at);
