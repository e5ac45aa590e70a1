-- Counts the changes of an account; its ETag is made of it.
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
