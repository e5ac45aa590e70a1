-- BYTEA is PostgreSQL's; SQLite keeps a blob as it comes in a column of any type.
CREATE TABLE connections (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64) NOT NULL,
	provider    VARCHAR(64) NOT NULL,
	label       VARCHAR(64) NOT NULL,
	auth        VARCHAR(64) NOT NULL,
	status      VARCHAR(16) NOT NULL,
	reason      TEXT        NOT NULL,
	settings    TEXT        NOT NULL,
	credentials BYTEA       NOT NULL,
	version     BIGINT      NOT NULL,
	host        TEXT        NOT NULL,
	account     TEXT        NOT NULL,
	probed_at   BIGINT      NOT NULL,
	probe_class VARCHAR(16) NOT NULL,
	created_at  BIGINT      NOT NULL,
	updated_at  BIGINT      NOT NULL,
	UNIQUE (user_id, provider, label)
);

CREATE INDEX connections_by_user ON connections (user_id, id);

CREATE TABLE calls (
	id                  VARCHAR(36) NOT NULL PRIMARY KEY,
	connection_id       VARCHAR(36) NOT NULL,
	user_id             VARCHAR(64) NOT NULL,
	provider            VARCHAR(64) NOT NULL,
	action              VARCHAR(64) NOT NULL,
	caller              VARCHAR(64) NOT NULL,
	at                  BIGINT      NOT NULL,
	duration            BIGINT      NOT NULL,
	status              VARCHAR(8)  NOT NULL,
	http_status         INTEGER     NOT NULL,
	code                VARCHAR(32) NOT NULL,
	class               VARCHAR(16) NOT NULL,
	message             TEXT        NOT NULL,
	attempts            INTEGER     NOT NULL,
	provider_request_id TEXT        NOT NULL
);

CREATE INDEX calls_by_connection ON calls (connection_id, id);

CREATE INDEX calls_failed ON calls (user_id, provider, id) WHERE status = 'error';

CREATE INDEX calls_by_time ON calls (at);
