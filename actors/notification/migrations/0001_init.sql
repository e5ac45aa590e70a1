CREATE TABLE notifications (
	id         VARCHAR(36)    NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64)    NOT NULL,
	category   VARCHAR(16)    NOT NULL,
	-- The length of content.
	bytes      BIGINT         NOT NULL,
	content    TEXT           NOT NULL,
	-- True once it is in the inbox.
	in_app     BOOLEAN        NOT NULL,
	dedupe_key VARCHAR(200),
	-- How it is collected with others, as JSON; empty if it is not.
	batching   TEXT           NOT NULL,
	-- True for the message that a batch is sent as. Its id is the batch's.
	is_batch   BOOLEAN        NOT NULL,
	-- The consent under which a service has sent it; empty if the user has.
	grant_scope   VARCHAR(64) NOT NULL DEFAULT '',
	grant_consent VARCHAR(36) NOT NULL DEFAULT '',
	created_at BIGINT         NOT NULL,
	send_at    BIGINT         NOT NULL,
	started    BOOLEAN        NOT NULL,
	cancelled  BOOLEAN        NOT NULL,
	read_at    BIGINT         NOT NULL,
	UNIQUE (user_id, dedupe_key)
);

CREATE INDEX notifications_inbox ON notifications (user_id, id) WHERE in_app;

CREATE INDEX notifications_unread ON notifications (user_id) WHERE in_app AND read_at = 0;

CREATE INDEX notifications_waiting ON notifications (send_at) WHERE NOT started AND NOT cancelled;

CREATE INDEX notifications_scheduled ON notifications (user_id) WHERE NOT started AND NOT cancelled;

CREATE INDEX notifications_account_mail ON notifications (created_at) WHERE dedupe_key = 'auth.' || user_id;

CREATE INDEX notifications_by_user ON notifications (user_id, id, bytes);

CREATE TABLE deliveries (
	notification_id     VARCHAR(36)  NOT NULL,
	channel             VARCHAR(16)  NOT NULL,
	user_id             VARCHAR(64)  NOT NULL,
	category            VARCHAR(16)  NOT NULL,
	status              VARCHAR(16)  NOT NULL,
	reason              VARCHAR(32)  NOT NULL,
	attempts            INTEGER      NOT NULL,
	error               VARCHAR(500) NOT NULL,
	provider            VARCHAR(64)  NOT NULL,
	provider_message_id VARCHAR(200) NOT NULL,
	accepted_at         BIGINT       NOT NULL,
	-- Of a deferred delivery: when it is released. Of a pending one: when an attempt may be made; while one is under way, when it is given up.
	next_attempt_at     BIGINT       NOT NULL,
	-- Its place in the recipient's rate; 0 for none.
	slot_at             BIGINT       NOT NULL,
	batch_id            VARCHAR(36)  NOT NULL,
	-- The ids of the devices that the next attempt goes to, separated by spaces; empty for all.
	devices             TEXT         NOT NULL,
	updated_at          BIGINT       NOT NULL,
	PRIMARY KEY (notification_id, channel)
);

-- SQLite uses a partial index only where a query has its condition word by word.
CREATE INDEX deliveries_deferred ON deliveries (next_attempt_at) WHERE status = 'deferred';

CREATE INDEX deliveries_pending ON deliveries (next_attempt_at) WHERE status = 'pending';

CREATE INDEX deliveries_waiting ON deliveries (user_id) WHERE status IN ('deferred', 'batched');

CREATE INDEX deliveries_slots ON deliveries (user_id, channel, slot_at) WHERE slot_at > 0;

CREATE INDEX deliveries_batch ON deliveries (batch_id) WHERE status = 'batched';

CREATE INDEX deliveries_provider ON deliveries (provider, provider_message_id) WHERE provider_message_id <> '';

-- A batch that collects items. Its row is deleted when its message is made.
CREATE TABLE batches (
	id         VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id    VARCHAR(64)  NOT NULL,
	category   VARCHAR(16)  NOT NULL,
	channel    VARCHAR(16)  NOT NULL,
	batch_key  VARCHAR(200) NOT NULL,
	digest     BOOLEAN      NOT NULL,
	-- False once it takes no more items.
	collecting BOOLEAN      NOT NULL,
	items      INTEGER      NOT NULL,
	bytes      BIGINT       NOT NULL,
	opened_at  BIGINT       NOT NULL,
	due_at     BIGINT       NOT NULL
);

CREATE UNIQUE INDEX batches_collecting ON batches (user_id, category, channel, digest, batch_key) WHERE collecting;

CREATE INDEX batches_by_user ON batches (user_id);

CREATE INDEX batches_due ON batches (due_at);

CREATE TABLE notification_settings (
	user_id    VARCHAR(64) NOT NULL PRIMARY KEY,
	-- A subjects.NotificationSettings as JSON, as the user gave it.
	settings   TEXT        NOT NULL,
	updated_at BIGINT      NOT NULL
);
