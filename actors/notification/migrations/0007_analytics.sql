ALTER TABLE deliveries ADD COLUMN template VARCHAR(64) NOT NULL DEFAULT '';

ALTER TABLE deliveries ADD COLUMN opened_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE deliveries ADD COLUMN clicked_at BIGINT NOT NULL DEFAULT 0;

-- The outcomes of messages, by day since the Unix epoch (UTC). The counts over all users are kept in rows of their own, under user ids from #00 to
-- #15, so that concurrent transactions seldom change the same one.
CREATE TABLE notification_counts (
	user_id    VARCHAR(64) NOT NULL,
	day        INTEGER     NOT NULL,
	channel    VARCHAR(16) NOT NULL,
	category   VARCHAR(16) NOT NULL,
	template   VARCHAR(64) NOT NULL,
	sent       BIGINT      NOT NULL,
	delivered  BIGINT      NOT NULL,
	failed     BIGINT      NOT NULL,
	suppressed BIGINT      NOT NULL,
	opened     BIGINT      NOT NULL,
	clicked    BIGINT      NOT NULL,
	PRIMARY KEY (user_id, day, channel, category, template)
);

CREATE INDEX notification_counts_by_day ON notification_counts (day);
