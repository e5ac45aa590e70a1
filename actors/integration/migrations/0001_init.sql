-- Times are microseconds since the Unix epoch, 0 for none. Binary columns are BYTEA for both dialects: SQLite stores a blob
-- unchanged whatever a column's type is.

CREATE TABLE connections (
	id            VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id       VARCHAR(64) NOT NULL,
	provider      VARCHAR(64) NOT NULL,
	label         VARCHAR(64) NOT NULL,
	auth          VARCHAR(64) NOT NULL,
	status        VARCHAR(16) NOT NULL,
	reason        TEXT        NOT NULL,
	settings      TEXT        NOT NULL,
	credentials   BYTEA       NOT NULL, -- given by the user, sealed
	version       BIGINT      NOT NULL,
	host          TEXT        NOT NULL,
	account       TEXT        NOT NULL,
	probed_at     BIGINT      NOT NULL,
	probe_class   VARCHAR(16) NOT NULL,
	created_at    BIGINT      NOT NULL,
	updated_at    BIGINT      NOT NULL,
	tokens        BYTEA, -- given by the provider, sealed; they have their own version, because they change without the user
	token_version BIGINT      NOT NULL DEFAULT 0,
	expires_at    BIGINT      NOT NULL DEFAULT 0,
	refresh_at    BIGINT      NOT NULL DEFAULT 0,
	claimed_by    VARCHAR(36) NOT NULL DEFAULT '', -- the process that may request new tokens, until claimed_until
	claimed_until BIGINT      NOT NULL DEFAULT 0,
	refresh_failures BIGINT   NOT NULL DEFAULT 0, -- in a row
	refresh_after BIGINT      NOT NULL DEFAULT 0, -- when a call may request new tokens again
	scheduled     BIGINT      NOT NULL DEFAULT 0, -- 1 once it has a row in probes
	UNIQUE (user_id, provider, label)
);

CREATE INDEX connections_by_user ON connections (user_id, id);

CREATE INDEX connections_to_schedule ON connections (id) WHERE status = 'active' AND scheduled = 0;

CREATE INDEX connections_to_refresh ON connections (refresh_at) WHERE refresh_at > 0;

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

CREATE INDEX calls_by_connection ON calls (user_id, connection_id, id);

CREATE INDEX calls_failed ON calls (user_id, provider, id) WHERE status = 'error';

CREATE INDEX calls_by_time ON calls (at);

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

-- The deliveries that were handled, so that a repeated one is recognised.
CREATE TABLE hook_deliveries (
	hook_id VARCHAR(36) NOT NULL,
	key     VARCHAR(64) NOT NULL,
	at      BIGINT      NOT NULL,
	PRIMARY KEY (hook_id, key)
);

CREATE INDEX hook_deliveries_by_time ON hook_deliveries (at);

-- What the hooks of a user have received on a day, and in its last minute with deliveries: days and minutes since the Unix epoch, in UTC.
CREATE TABLE hook_usage (
	user_id      VARCHAR(64) NOT NULL,
	day          BIGINT      NOT NULL,
	deliveries   BIGINT      NOT NULL,
	bytes        BIGINT      NOT NULL,
	minute       BIGINT      NOT NULL,
	minute_bytes BIGINT      NOT NULL,
	PRIMARY KEY (user_id, day)
);

CREATE INDEX hook_usage_by_day ON hook_usage (day);

-- The last scheduled health probe of each connection, and when the next is due.
CREATE TABLE probes (
	connection_id VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id       VARCHAR(64) NOT NULL,
	provider      VARCHAR(64) NOT NULL,
	at            BIGINT      NOT NULL,
	due_at        BIGINT      NOT NULL,
	duration      BIGINT      NOT NULL,
	class         VARCHAR(16) NOT NULL
);

CREATE INDEX probes_by_user ON probes (user_id, provider);

CREATE INDEX probes_due ON probes (due_at);

-- Files that actions take and return by reference. Their parts are in the object store integration_objects, encrypted with
-- data_key, which is sealed. size is -1 if the upload did not state it; reserved is what counts in object_usage.
CREATE TABLE objects (
	id           VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id      VARCHAR(64)  NOT NULL,
	name         VARCHAR(255) NOT NULL,
	content_type VARCHAR(255) NOT NULL,
	state        VARCHAR(16)  NOT NULL,
	size         BIGINT       NOT NULL,
	reserved     BIGINT       NOT NULL,
	sha256       VARCHAR(64)  NOT NULL,
	part_size    BIGINT       NOT NULL,
	data_key     BYTEA        NOT NULL,
	keep_for     BIGINT       NOT NULL,
	created_at   BIGINT       NOT NULL,
	expires_at   BIGINT       NOT NULL
);

CREATE INDEX objects_by_user ON objects (user_id, id);

CREATE INDEX objects_to_expire ON objects (expires_at);

-- stored is 1 once the object store has the part.
CREATE TABLE object_parts (
	object_id VARCHAR(36) NOT NULL,
	number    BIGINT      NOT NULL,
	size      BIGINT      NOT NULL,
	sha256    VARCHAR(64) NOT NULL,
	stored    BIGINT      NOT NULL,
	PRIMARY KEY (object_id, number)
);

-- The sum of the reserved bytes of a user's objects, so that concurrent uploads cannot exceed the limit together. The row of
-- the empty user counts the objects of all users.
CREATE TABLE object_usage (
	user_id VARCHAR(64) NOT NULL PRIMARY KEY,
	bytes   BIGINT      NOT NULL
);

INSERT INTO object_usage (user_id, bytes) VALUES ('', 0);
