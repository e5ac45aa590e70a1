-- sealed is base64, bound to user and name.
CREATE TABLE workflow_secrets (
	user_id    VARCHAR(64) NOT NULL,
	name       VARCHAR(63) NOT NULL,
	sealed     TEXT        NOT NULL,
	created_at BIGINT      NOT NULL,
	updated_at BIGINT      NOT NULL,
	PRIMARY KEY (user_id, name)
);
