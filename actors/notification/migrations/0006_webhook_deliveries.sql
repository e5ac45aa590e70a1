CREATE TABLE webhook_events (
	user_id    VARCHAR(64)  NOT NULL,
	id         VARCHAR(128) NOT NULL,
	type       VARCHAR(128) NOT NULL,
	-- When the event happened.
	at         BIGINT       NOT NULL,
	created_at BIGINT       NOT NULL,
	payload    BYTEA        NOT NULL,
	PRIMARY KEY (user_id, id)
);

CREATE TABLE webhook_deliveries (
	endpoint_id     VARCHAR(36)  NOT NULL,
	id              VARCHAR(36)  NOT NULL,
	event_id        VARCHAR(128) NOT NULL,
	user_id         VARCHAR(64)  NOT NULL,
	type            VARCHAR(128) NOT NULL,
	ordering        VARCHAR(200) NOT NULL,
	status          VARCHAR(16)  NOT NULL,
	attempts        INTEGER      NOT NULL,
	-- How many attempts were made before the last replay.
	base            INTEGER      NOT NULL,
	next_attempt_at BIGINT       NOT NULL,
	created_at      BIGINT       NOT NULL,
	finished_at     BIGINT       NOT NULL,
	PRIMARY KEY (endpoint_id, id),
	UNIQUE (endpoint_id, event_id)
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at, id) WHERE status = 'pending';

CREATE INDEX webhook_deliveries_ordered ON webhook_deliveries (endpoint_id, ordering, id) WHERE finished_at = 0 AND ordering <> '';

CREATE INDEX webhook_deliveries_kept ON webhook_deliveries (endpoint_id, id) WHERE status = 'kept';

CREATE INDEX webhook_deliveries_old ON webhook_deliveries (created_at) WHERE status <> 'pending';

CREATE INDEX webhook_deliveries_event ON webhook_deliveries (user_id, event_id);

CREATE TABLE webhook_attempts (
	delivery_id VARCHAR(36)  NOT NULL,
	id          VARCHAR(36)  NOT NULL,
	number      INTEGER      NOT NULL,
	started_at  BIGINT       NOT NULL,
	-- In microseconds.
	duration    BIGINT       NOT NULL,
	status      INTEGER      NOT NULL,
	error       VARCHAR(500) NOT NULL,
	answer      BYTEA,
	PRIMARY KEY (delivery_id, id)
);

-- The processes that make the attempts of endpoints, on PostgreSQL. lease_until is by the database's clock.
CREATE TABLE webhook_leases (
	endpoint_id VARCHAR(36) NOT NULL PRIMARY KEY,
	owner       VARCHAR(36) NOT NULL,
	lease_until BIGINT      NOT NULL
);

CREATE INDEX webhook_leases_owner ON webhook_leases (owner);
