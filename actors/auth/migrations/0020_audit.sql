-- Copies of audit events for their users to list (audit_store.go); the record is the stream AUDIT. Times are microseconds since the Unix epoch.
CREATE TABLE audit_events (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL, -- nobody: no account
    at         BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    ip         TEXT   NOT NULL,
    device     TEXT   NOT NULL,
    session_id TEXT   NOT NULL
);
CREATE INDEX audit_events_user ON audit_events (user_id, at, id);
CREATE INDEX audit_events_at ON audit_events (at);
