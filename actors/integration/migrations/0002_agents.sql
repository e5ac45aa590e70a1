-- The program of an agent that made the call; empty for any other caller.
ALTER TABLE calls ADD COLUMN client VARCHAR(100) NOT NULL DEFAULT '';

-- What agents may do for a user: JSON of the rules.
CREATE TABLE agent_policies (
	user_id    VARCHAR(64) NOT NULL PRIMARY KEY,
	rules      TEXT        NOT NULL,
	updated_at BIGINT      NOT NULL
);

-- Calls for which agents asked for approval. digest is of operation, target and input.
CREATE TABLE agent_approvals (
	id         VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64)  NOT NULL,
	operation  VARCHAR(130) NOT NULL,
	target     VARCHAR(36)  NOT NULL,
	input      BYTEA        NOT NULL,
	digest     VARCHAR(64)  NOT NULL,
	client     VARCHAR(100) NOT NULL,
	status     VARCHAR(16)  NOT NULL,
	created_at BIGINT       NOT NULL,
	expires_at BIGINT       NOT NULL,
	decided_at BIGINT       NOT NULL
);

CREATE INDEX agent_approvals_by_user ON agent_approvals (user_id, id);

CREATE INDEX agent_approvals_open ON agent_approvals (user_id, expires_at);

CREATE INDEX agent_approvals_to_delete ON agent_approvals (expires_at);
