CREATE TABLE schedules (
	id             VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id        VARCHAR(64)  NOT NULL,
	workflow_id    VARCHAR(36)  NOT NULL,
	name           VARCHAR(63)  NOT NULL,
	version        BIGINT       NOT NULL,
	kind           VARCHAR(8)   NOT NULL,
	timing         VARCHAR(512) NOT NULL,
	paused_at      BIGINT       NOT NULL,
	note           TEXT         NOT NULL,
	anchor         BIGINT       NOT NULL,
	nominal_until  BIGINT       NOT NULL,
	wake_at        BIGINT       NOT NULL,
	revision       BIGINT       NOT NULL,
	refused_at     BIGINT       NOT NULL,
	refused_reason TEXT         NOT NULL,
	created_at     BIGINT       NOT NULL
);

CREATE INDEX schedules_by_user ON schedules (user_id, id);

CREATE UNIQUE INDEX schedules_by_workflow ON schedules (workflow_id);

CREATE INDEX schedules_by_wake ON schedules (wake_at) WHERE wake_at > 0;

CREATE TABLE schedule_runs (
	schedule_id  VARCHAR(36) NOT NULL,
	nominal      BIGINT      NOT NULL,
	execution_id VARCHAR(36) NOT NULL,
	status       VARCHAR(8)  NOT NULL,
	overlap      VARCHAR(16) NOT NULL,
	backfill     BIGINT      NOT NULL,
	due_at       BIGINT      NOT NULL,
	reason       TEXT        NOT NULL,
	updated_at   BIGINT      NOT NULL,
	PRIMARY KEY (schedule_id, nominal)
);

CREATE INDEX schedule_runs_open ON schedule_runs (schedule_id, nominal) WHERE status IN ('due', 'started');

CREATE TABLE refused_starts (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64) NOT NULL,
	workflow_id VARCHAR(36) NOT NULL,
	version     BIGINT      NOT NULL,
	name        VARCHAR(63) NOT NULL,
	cause       VARCHAR(8)  NOT NULL,
	input       TEXT        NOT NULL,
	error       TEXT        NOT NULL,
	created_at  BIGINT      NOT NULL
);

CREATE INDEX refused_starts_by_user ON refused_starts (user_id, created_at, id);
