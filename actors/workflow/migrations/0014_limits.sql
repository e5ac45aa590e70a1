-- What counts for the limits of workflows: executions that have not ended, and beginnings within their period.
CREATE TABLE execution_tickets (
	execution_id VARCHAR(36) NOT NULL PRIMARY KEY,
	lot          BIGINT      NOT NULL,
	user_id      VARCHAR(64) NOT NULL,
	workflow_id  VARCHAR(36) NOT NULL,
	priority     BIGINT      NOT NULL,
	lane         VARCHAR(32) NOT NULL,
	most         BIGINT      NOT NULL,
	pace         VARCHAR(32) NOT NULL,
	rate         BIGINT      NOT NULL,
	period       BIGINT      NOT NULL,
	created_at   BIGINT      NOT NULL,
	started_at   BIGINT      NOT NULL,
	counts_until BIGINT      NOT NULL
);

CREATE INDEX execution_tickets_that_count ON execution_tickets (lot, counts_until);

CREATE INDEX execution_tickets_by_user ON execution_tickets (user_id);
