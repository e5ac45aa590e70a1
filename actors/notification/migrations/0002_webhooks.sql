-- The webhooks of users. Each row changes when its owner changes it or weft disables it: what deliveries change is in webhook_health, so that
-- the caches of this table are not emptied by them.
CREATE TABLE webhooks (
	id              VARCHAR(36)   NOT NULL PRIMARY KEY,
	user_id         VARCHAR(64)   NOT NULL,
	-- The group of users that the user belongs to, see webhook_groups.
	group_id        VARCHAR(8)    NOT NULL,
	url             VARCHAR(2048) NOT NULL,
	description     VARCHAR(200)  NOT NULL,
	-- Event types and prefixes, separated by spaces; empty for all.
	events          TEXT          NOT NULL,
	condition       TEXT          NOT NULL,
	payload_version INTEGER       NOT NULL,
	signature       VARCHAR(8)    NOT NULL,
	secret          BYTEA         NOT NULL,
	old_secret      BYTEA,
	old_until       BIGINT        NOT NULL,
	-- Sealed: a JSON object of the additional headers.
	headers         BYTEA,
	header_names    TEXT          NOT NULL,
	status          VARCHAR(32)   NOT NULL,
	disabled_at     BIGINT        NOT NULL,
	disabled_reason VARCHAR(200)  NOT NULL,
	ordered         BOOLEAN       NOT NULL,
	per_minute      INTEGER       NOT NULL,
	schedule        VARCHAR(16)   NOT NULL,
	revision        BIGINT        NOT NULL,
	created_at      BIGINT        NOT NULL,
	updated_at      BIGINT        NOT NULL
);

CREATE INDEX webhooks_by_user ON webhooks (user_id, id);

CREATE INDEX webhooks_by_group ON webhooks (group_id);

-- What deliveries and events have made of a webhook.
CREATE TABLE webhook_health (
	webhook_id           VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id              VARCHAR(64)  NOT NULL,
	failing_since        BIGINT       NOT NULL,
	warnings             INTEGER      NOT NULL,
	warned_at            BIGINT       NOT NULL,
	last_success_at      BIGINT       NOT NULL,
	last_error           VARCHAR(300) NOT NULL,
	condition_errors     BIGINT       NOT NULL,
	last_condition_error VARCHAR(300) NOT NULL,
	dropped              BIGINT       NOT NULL
);

CREATE INDEX webhook_health_by_user ON webhook_health (user_id);

-- What was stored for a user's webhooks on a day, in days since the Unix epoch, in UTC.
CREATE TABLE webhook_usage (
	user_id    VARCHAR(64) NOT NULL,
	day        BIGINT      NOT NULL,
	deliveries BIGINT      NOT NULL,
	bytes      BIGINT      NOT NULL,
	PRIMARY KEY (user_id, day)
);

CREATE INDEX webhook_usage_by_day ON webhook_usage (day);

-- A row for each group of users. A transaction that changes which events a webhook receives changes the row of its user's group, which
-- empties the caches of it. The rows are all here from the beginning: a row that is not there could not be cached.
CREATE TABLE webhook_groups (
	id      VARCHAR(8) NOT NULL PRIMARY KEY,
	changes BIGINT     NOT NULL
);

INSERT INTO webhook_groups (id, changes)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1023)
SELECT CAST(n AS VARCHAR(8)), 0 FROM numbers;
