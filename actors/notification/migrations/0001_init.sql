CREATE TABLE notifications (
	id         VARCHAR(36)    NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64)    NOT NULL,
	category   VARCHAR(16)    NOT NULL,
	-- The length of content.
	bytes      BIGINT         NOT NULL,
	content    TEXT           NOT NULL,
	in_app     BOOLEAN        NOT NULL,
	dedupe_key VARCHAR(200),
	created_at BIGINT         NOT NULL,
	send_at    BIGINT         NOT NULL,
	started    BOOLEAN        NOT NULL,
	cancelled  BOOLEAN        NOT NULL,
	read_at    BIGINT         NOT NULL,
	UNIQUE (user_id, dedupe_key)
);

CREATE INDEX notifications_inbox ON notifications (user_id, id) WHERE in_app;

CREATE INDEX notifications_unread ON notifications (user_id) WHERE in_app AND read_at = 0;

CREATE INDEX notifications_waiting ON notifications (send_at) WHERE NOT started;

CREATE INDEX notifications_scheduled ON notifications (user_id) WHERE NOT started AND NOT cancelled;

CREATE INDEX notifications_by_user ON notifications (user_id, id, bytes);

CREATE TABLE deliveries (
	notification_id VARCHAR(36)  NOT NULL,
	channel         VARCHAR(16)  NOT NULL,
	status          VARCHAR(16)  NOT NULL,
	attempts        INTEGER      NOT NULL,
	error           VARCHAR(500) NOT NULL,
	updated_at      BIGINT       NOT NULL,
	PRIMARY KEY (notification_id, channel)
);
