CREATE TABLE workflows (
	id         VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64) NOT NULL,
	name       VARCHAR(63) NOT NULL,
	version    BIGINT      NOT NULL,
	created_at BIGINT      NOT NULL,
	deleted_at BIGINT      NOT NULL
);

CREATE INDEX workflows_by_user ON workflows (user_id, id);

CREATE TABLE workflow_versions (
	workflow_id VARCHAR(36)  NOT NULL,
	version     BIGINT       NOT NULL,
	namespace   VARCHAR(63)  NOT NULL,
	name        VARCHAR(63)  NOT NULL,
	declared    VARCHAR(128) NOT NULL,
	title       TEXT         NOT NULL,
	summary     TEXT         NOT NULL,
	digest      VARCHAR(80)  NOT NULL,
	tasks       BIGINT       NOT NULL,
	definition  TEXT         NOT NULL,
	source      TEXT         NOT NULL,
	created_at  BIGINT       NOT NULL,
	PRIMARY KEY (workflow_id, version)
);

CREATE TABLE executions (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64) NOT NULL,
	workflow_id VARCHAR(36) NOT NULL,
	version     BIGINT      NOT NULL,
	name        VARCHAR(63) NOT NULL,
	consent_id  VARCHAR(64) NOT NULL,
	status      VARCHAR(16) NOT NULL,
	job_id      VARCHAR(36) NOT NULL,
	wakes       BIGINT      NOT NULL,
	input       TEXT        NOT NULL,
	output      TEXT        NOT NULL,
	error       TEXT        NOT NULL,
	created_at  BIGINT      NOT NULL,
	started_at  BIGINT      NOT NULL,
	ended_at    BIGINT      NOT NULL,
	purged_at   BIGINT      NOT NULL
);

CREATE INDEX executions_by_user ON executions (user_id, created_at, id);

CREATE INDEX executions_by_workflow ON executions (workflow_id, created_at, id);

CREATE INDEX executions_to_purge ON executions (ended_at) WHERE purged_at = 0 AND ended_at > 0;

CREATE TABLE execution_histories (
	execution_id VARCHAR(36) NOT NULL PRIMARY KEY,
	events       TEXT        NOT NULL
);

CREATE TABLE execution_timers (
	execution_id VARCHAR(36) NOT NULL PRIMARY KEY,
	due_at       BIGINT      NOT NULL
);

CREATE INDEX execution_timers_by_due ON execution_timers (due_at);
