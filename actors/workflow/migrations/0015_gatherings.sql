-- What has come of the events that schedules wait for together.
CREATE TABLE gatherings (
	id          VARCHAR(36) NOT NULL PRIMARY KEY,
	schedule_id VARCHAR(36) NOT NULL,
	user_id     VARCHAR(64) NOT NULL,
	terms       VARCHAR(64) NOT NULL,
	state       TEXT        NOT NULL,
	depth       BIGINT      NOT NULL,
	problem     TEXT        NOT NULL,
	whole       BOOLEAN     NOT NULL,
	created_at  BIGINT      NOT NULL
);

CREATE INDEX gatherings_by_schedule ON gatherings (schedule_id, created_at, id);

CREATE TABLE gathered_events (
	schedule_id  VARCHAR(36) NOT NULL,
	event        VARCHAR(64) NOT NULL,
	user_id      VARCHAR(64) NOT NULL,
	whole        TEXT        NOT NULL,
	gathered_at  BIGINT      NOT NULL,
	PRIMARY KEY (schedule_id, event)
);

CREATE INDEX gathered_events_by_user ON gathered_events (user_id);
