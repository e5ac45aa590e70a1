-- Executions move from a log of their own each to the log of a partition, whose fold these tables are.
DROP TABLE execution_timers;

DROP TABLE execution_histories;

DROP TABLE executions;

CREATE TABLE executions (
	id          VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64)  NOT NULL,
	workflow_id VARCHAR(36)  NOT NULL,
	version     BIGINT       NOT NULL,
	name        VARCHAR(63)  NOT NULL,
	consent_id  VARCHAR(64)  NOT NULL,
	lot         BIGINT       NOT NULL,
	status      VARCHAR(16)  NOT NULL,
	parked      BOOLEAN      NOT NULL,
	listens     BOOLEAN      NOT NULL,
	watched     BOOLEAN      NOT NULL,
	due_at      BIGINT       NOT NULL,
	priority    BIGINT       NOT NULL,
	origin      VARCHAR(200) NOT NULL,
	parent_id   VARCHAR(36)  NOT NULL,
	parent_call VARCHAR(32)  NOT NULL,
	events      BIGINT       NOT NULL,
	input       TEXT         NOT NULL,
	output      TEXT         NOT NULL,
	error       TEXT         NOT NULL,
	snapshot    TEXT         NOT NULL,
	attributes  TEXT         NOT NULL,
	trace       VARCHAR(64)  NOT NULL,
	created_at  BIGINT       NOT NULL,
	started_at  BIGINT       NOT NULL,
	ended_at    BIGINT       NOT NULL
);

CREATE INDEX executions_by_user ON executions (user_id, created_at, id);

CREATE INDEX executions_by_workflow ON executions (workflow_id, created_at, id);

CREATE INDEX executions_live ON executions (lot, parked) WHERE ended_at = 0;

CREATE INDEX executions_due ON executions (lot, due_at) WHERE ended_at = 0 AND parked AND due_at > 0;

CREATE INDEX executions_listening ON executions (lot, user_id) WHERE ended_at = 0 AND parked AND listens;

CREATE TABLE execution_histories (
	execution_id VARCHAR(36) NOT NULL,
	first        BIGINT      NOT NULL,
	events       TEXT        NOT NULL,
	PRIMARY KEY (execution_id, first)
);

CREATE TABLE partitions (
	lot     BIGINT      NOT NULL PRIMARY KEY,
	owner   VARCHAR(36) NOT NULL,
	applied BIGINT      NOT NULL
);
