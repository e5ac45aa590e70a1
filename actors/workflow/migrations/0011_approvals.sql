CREATE TABLE approvals (
	id           VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id      VARCHAR(64)  NOT NULL,
	execution_id VARCHAR(36)  NOT NULL,
	workflow_id  VARCHAR(36)  NOT NULL,
	name         VARCHAR(63)  NOT NULL,
	call_id      VARCHAR(32)  NOT NULL,
	title        TEXT         NOT NULL,
	body         TEXT         NOT NULL,
	data         TEXT         NOT NULL,
	on_timeout   VARCHAR(8)   NOT NULL,
	status       VARCHAR(12)  NOT NULL,
	comment      TEXT         NOT NULL,
	created_at   BIGINT       NOT NULL,
	expires_at   BIGINT       NOT NULL,
	decided_at   BIGINT       NOT NULL,
	delivered_at BIGINT       NOT NULL
);

CREATE INDEX approvals_by_user ON approvals (user_id, created_at, id);

CREATE INDEX approvals_by_execution ON approvals (execution_id);

CREATE INDEX approvals_to_expire ON approvals (expires_at) WHERE status = 'pending';

CREATE INDEX approvals_to_deliver ON approvals (decided_at) WHERE delivered_at = 0 AND decided_at > 0;
