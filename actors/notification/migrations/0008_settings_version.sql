-- Counts the changes of a user's settings; their ETag is made of it.
ALTER TABLE notification_settings ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
