CREATE TABLE workflows (
	id         VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64) NOT NULL,
	name       VARCHAR(63) NOT NULL,
	version    BIGINT      NOT NULL,
	-- What the definitions of all versions take, with the texts that they were made from.
	bytes      BIGINT      NOT NULL,
	created_at BIGINT      NOT NULL,
	deleted_at BIGINT      NOT NULL
);

CREATE INDEX workflows_by_user ON workflows (user_id, id);

CREATE INDEX workflows_deleted ON workflows (deleted_at) WHERE deleted_at > 0;

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
	-- The API key that stored the version and its scopes; empty if none did.
	author_keys   TEXT       NOT NULL,
	author_scopes TEXT       NOT NULL,
	-- The types of lifecycle events that the definition may receive.
	lifecycle   TEXT         NOT NULL,
	created_at  BIGINT       NOT NULL,
	PRIMARY KEY (workflow_id, version)
);

CREATE INDEX workflow_versions_lifecycle ON workflow_versions (workflow_id) WHERE lifecycle <> '';

CREATE TABLE executions (
	id           VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id      VARCHAR(64)  NOT NULL,
	-- The id that the caller chose, from which and the user id is derived; empty if the caller chose none.
	chosen_id    VARCHAR(36)  NOT NULL,
	workflow_id  VARCHAR(36)  NOT NULL,
	version      BIGINT       NOT NULL,
	name         VARCHAR(63)  NOT NULL,
	consent_id   VARCHAR(64)  NOT NULL,
	-- The API keys that caused the execution and the scopes that they share; empty if none did.
	authority_keys   TEXT     NOT NULL,
	authority_scopes TEXT     NOT NULL,
	partition    BIGINT       NOT NULL,
	status       VARCHAR(16)  NOT NULL,
	evicted      BOOLEAN      NOT NULL,
	listens      BOOLEAN      NOT NULL,
	watched      BOOLEAN      NOT NULL,
	due_at       BIGINT       NOT NULL,
	priority     BIGINT       NOT NULL,
	origin_kind  VARCHAR(8)   NOT NULL,
	origin_id    VARCHAR(36)  NOT NULL,
	origin_depth BIGINT       NOT NULL,
	origin_root  VARCHAR(36)  NOT NULL,
	origin_ancestors VARCHAR(800) NOT NULL,
	origin_task  VARCHAR(128) NOT NULL,
	parent_id    VARCHAR(36)  NOT NULL,
	parent_call  VARCHAR(32)  NOT NULL,
	events       BIGINT       NOT NULL,
	-- input, output, snapshot and history, and the events below, are compressed: package packed.
	input        BYTEA        NOT NULL,
	output       BYTEA        NOT NULL,
	error        TEXT         NOT NULL,
	snapshot     BYTEA        NOT NULL,
	attributes   TEXT         NOT NULL,
	trace        VARCHAR(64)  NOT NULL,
	created_at   BIGINT       NOT NULL,
	started_at   BIGINT       NOT NULL,
	ended_at     BIGINT       NOT NULL,
	history      BYTEA        NOT NULL,
	error_type   VARCHAR(200) NOT NULL
);

CREATE INDEX executions_by_user ON executions (user_id, created_at, id);

CREATE INDEX executions_by_workflow ON executions (workflow_id, created_at, id);

CREATE INDEX executions_open ON executions (user_id, created_at, id) WHERE ended_at = 0;

CREATE INDEX executions_ended ON executions (ended_at) WHERE ended_at > 0;

CREATE INDEX executions_live ON executions (partition, evicted) WHERE ended_at = 0;

CREATE INDEX executions_due ON executions (partition, due_at) WHERE ended_at = 0 AND evicted AND due_at > 0;

CREATE INDEX executions_listening ON executions (partition, user_id) WHERE ended_at = 0 AND evicted AND listens;

CREATE TABLE execution_histories (
	execution_id VARCHAR(36) NOT NULL,
	first        BIGINT      NOT NULL,
	events       BYTEA       NOT NULL,
	PRIMARY KEY (execution_id, first)
);

CREATE TABLE partitions (
	partition BIGINT      NOT NULL PRIMARY KEY,
	owner     VARCHAR(36) NOT NULL,
	projected BIGINT      NOT NULL
);

CREATE TABLE schedules (
	id             VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id        VARCHAR(64)  NOT NULL,
	workflow_id    VARCHAR(36)  NOT NULL,
	name           VARCHAR(63)  NOT NULL,
	version        BIGINT       NOT NULL,
	kind           VARCHAR(8)   NOT NULL,
	listens        BOOLEAN      NOT NULL,
	timing         VARCHAR(512) NOT NULL,
	paused_at      BIGINT       NOT NULL,
	note           TEXT         NOT NULL,
	anchor         BIGINT       NOT NULL,
	nominal_until  BIGINT       NOT NULL,
	after_from     BIGINT       NOT NULL,
	wake_at        BIGINT       NOT NULL,
	revision       BIGINT       NOT NULL,
	refused_at     BIGINT       NOT NULL,
	refused_reason TEXT         NOT NULL,
	created_at     BIGINT       NOT NULL
);

CREATE INDEX schedules_by_user ON schedules (user_id, id);

CREATE UNIQUE INDEX schedules_by_workflow ON schedules (workflow_id);

CREATE INDEX schedules_by_wake ON schedules (wake_at, user_id) WHERE wake_at > 0;

CREATE INDEX schedules_by_user_wake ON schedules (user_id, wake_at) WHERE wake_at > 0;

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
	id          VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64)  NOT NULL,
	workflow_id VARCHAR(36)  NOT NULL,
	version     BIGINT       NOT NULL,
	name        VARCHAR(63)  NOT NULL,
	cause       VARCHAR(8)   NOT NULL,
	-- The length of input.
	bytes       BIGINT       NOT NULL,
	input       TEXT         NOT NULL,
	error       TEXT         NOT NULL,
	error_type  VARCHAR(200) NOT NULL,
	created_at  BIGINT       NOT NULL
);

CREATE INDEX refused_starts_by_user ON refused_starts (user_id, created_at, id);

CREATE TABLE approvals (
	id           VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id      VARCHAR(64) NOT NULL,
	execution_id VARCHAR(36) NOT NULL,
	workflow_id  VARCHAR(36) NOT NULL,
	name         VARCHAR(63) NOT NULL,
	call_id      VARCHAR(32) NOT NULL,
	title        TEXT        NOT NULL,
	body         TEXT        NOT NULL,
	data         TEXT        NOT NULL,
	on_timeout   VARCHAR(8)  NOT NULL,
	status       VARCHAR(12) NOT NULL,
	comment      TEXT        NOT NULL,
	created_at   BIGINT      NOT NULL,
	expires_at   BIGINT      NOT NULL,
	decided_at   BIGINT      NOT NULL,
	delivered_at BIGINT      NOT NULL
);

CREATE INDEX approvals_by_user ON approvals (user_id, created_at, id);

CREATE INDEX approvals_pending ON approvals (user_id) WHERE status = 'pending';

CREATE INDEX approvals_by_execution ON approvals (execution_id);

CREATE INDEX approvals_to_expire ON approvals (expires_at) WHERE status = 'pending';

CREATE INDEX approvals_to_deliver ON approvals (decided_at) WHERE delivered_at = 0 AND decided_at > 0;

CREATE TABLE failure_marks (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64) NOT NULL,
	status      VARCHAR(12) NOT NULL,
	replayed_as VARCHAR(36) NOT NULL,
	created_at  BIGINT      NOT NULL
);

CREATE INDEX failure_marks_by_user ON failure_marks (user_id);

CREATE INDEX executions_faulted ON executions (user_id, created_at, id) WHERE status = 'faulted';

CREATE INDEX executions_cancelled ON executions (user_id, created_at, id) WHERE status = 'cancelled';

-- sealed is base64, bound to the user and the name.
CREATE TABLE workflow_secrets (
	user_id    VARCHAR(64) NOT NULL,
	name       VARCHAR(63) NOT NULL,
	sealed     TEXT        NOT NULL,
	created_at BIGINT      NOT NULL,
	updated_at BIGINT      NOT NULL,
	PRIMARY KEY (user_id, name)
);

-- Executions that count against the limits of workflows: those that have not ended, and starts within a rate limit's period.
CREATE TABLE execution_limits (
	execution_id    VARCHAR(36) NOT NULL PRIMARY KEY,
	partition       BIGINT      NOT NULL,
	user_id         VARCHAR(64) NOT NULL,
	workflow_id     VARCHAR(36) NOT NULL,
	priority        BIGINT      NOT NULL,
	concurrency_key VARCHAR(32) NOT NULL,
	max_concurrent  BIGINT      NOT NULL,
	rate_key        VARCHAR(32) NOT NULL,
	rate            BIGINT      NOT NULL,
	period          BIGINT      NOT NULL,
	created_at      BIGINT      NOT NULL,
	started_at      BIGINT      NOT NULL,
	counts_until    BIGINT      NOT NULL
);

CREATE INDEX execution_limits_that_count ON execution_limits (partition, counts_until);

CREATE INDEX execution_limits_by_user ON execution_limits (user_id);

-- Events that schedules correlate: the sets that are being collected, and the events consumed.
CREATE TABLE correlations (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	schedule_id VARCHAR(36) NOT NULL,
	user_id     VARCHAR(64) NOT NULL,
	terms       VARCHAR(64) NOT NULL,
	state       TEXT        NOT NULL,
	depth       BIGINT      NOT NULL,
	root        VARCHAR(36) NOT NULL,
	ancestors   VARCHAR(800) NOT NULL,
	problem     TEXT        NOT NULL,
	whole       BOOLEAN     NOT NULL,
	-- The length of state.
	bytes       BIGINT      NOT NULL,
	created_at  BIGINT      NOT NULL
);

CREATE INDEX correlations_by_schedule ON correlations (schedule_id, created_at, id);

CREATE INDEX correlations_by_user ON correlations (user_id, bytes);

CREATE TABLE correlated_events (
	schedule_id   VARCHAR(36) NOT NULL,
	event         VARCHAR(64) NOT NULL,
	user_id       VARCHAR(64) NOT NULL,
	whole         TEXT        NOT NULL,
	correlated_at BIGINT      NOT NULL,
	PRIMARY KEY (schedule_id, event)
);

CREATE INDEX correlated_events_by_user ON correlated_events (user_id);

-- Running children are looked up by their parents.
CREATE INDEX executions_children ON executions (parent_id) WHERE parent_id <> '' AND ended_at = 0;

-- Running descendants are looked up by the execution that has led to all of them.
CREATE INDEX executions_descendants ON executions (origin_root, id) WHERE origin_root <> '' AND ended_at = 0;

-- Executions that were cancelled together with their descendants: those that are still being started are not, or are cancelled too.
CREATE TABLE cancelled_trees (
	execution_id VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id      VARCHAR(64) NOT NULL,
	root         VARCHAR(36) NOT NULL,
	passes       BIGINT      NOT NULL,
	next_at      BIGINT      NOT NULL
);

CREATE INDEX cancelled_trees_next ON cancelled_trees (next_at);

CREATE INDEX cancelled_trees_by_user ON cancelled_trees (user_id);
