-- Edge nodes, as each reported at its last contact.
CREATE TABLE edges (
	name            VARCHAR(64)  NOT NULL PRIMARY KEY,
	last_seen       BIGINT       NOT NULL,
	lease_until     BIGINT       NOT NULL,
	version         VARCHAR(128) NOT NULL,
	hub             VARCHAR(512) NOT NULL,
	outbox_messages BIGINT       NOT NULL,
	outbox_bytes    BIGINT       NOT NULL,
	lag_ms          BIGINT       NOT NULL,
	refused         BIGINT       NOT NULL,
	skew_ms         BIGINT       NOT NULL
);

-- Outboxes of edge nodes: all messages up to through are stored.
CREATE TABLE edge_outboxes (
	edge       VARCHAR(64) NOT NULL,
	outbox     VARCHAR(64) NOT NULL,
	through    BIGINT      NOT NULL,
	received   BIGINT      NOT NULL,
	updated_at BIGINT      NOT NULL,
	PRIMARY KEY (edge, outbox)
);
