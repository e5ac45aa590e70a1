CREATE TABLE failure_marks (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id     VARCHAR(64) NOT NULL,
	status      VARCHAR(12) NOT NULL,
	replayed_as VARCHAR(36) NOT NULL,
	created_at  BIGINT      NOT NULL
);

CREATE INDEX executions_faulted ON executions (user_id, created_at, id) WHERE status = 'faulted';
