-- Requests under data protection law. Times are microseconds since the Unix epoch, 0 for none.
CREATE TABLE privacy_requests (
	id               VARCHAR(36)   NOT NULL PRIMARY KEY,
	user_id          VARCHAR(64)   NOT NULL,
	kind             VARCHAR(16)   NOT NULL,
	status           VARCHAR(16)   NOT NULL,
	format           VARCHAR(8)    NOT NULL,
	-- JSON: the values to rectify.
	fields           TEXT          NOT NULL,
	note             TEXT          NOT NULL,
	resolution       TEXT          NOT NULL,
	requested_at     BIGINT        NOT NULL,
	due_at           BIGINT        NOT NULL,
	extended_at      BIGINT        NOT NULL,
	extension_reason TEXT          NOT NULL,
	ended_at         BIGINT        NOT NULL,
	erasure_id       VARCHAR(36)   NOT NULL,
	-- When a process may work at it; while one does, when another one may take over. 0: nothing is to be done.
	next_at          BIGINT        NOT NULL,
	attempts         INTEGER       NOT NULL,
	problem          VARCHAR(500)  NOT NULL,
	-- The file: its parts are in the object store consent_exports under the attempt that has made it, sealed with file_key, which is sealed.
	attempt          VARCHAR(36)   NOT NULL,
	file_key         BYTEA,
	file_parts       BIGINT        NOT NULL,
	file_size        BIGINT        NOT NULL,
	file_sha256      VARCHAR(64)   NOT NULL,
	file_expires_at  BIGINT        NOT NULL
);

CREATE INDEX privacy_requests_by_user ON privacy_requests (user_id, id);

CREATE INDEX privacy_requests_by_time ON privacy_requests (user_id, requested_at);

CREATE INDEX privacy_requests_next ON privacy_requests (next_at) WHERE next_at > 0;

CREATE INDEX privacy_requests_due ON privacy_requests (due_at) WHERE status = 'in_progress';

CREATE INDEX privacy_requests_files ON privacy_requests (file_expires_at) WHERE file_expires_at > 0;

CREATE INDEX privacy_requests_erasure ON privacy_requests (erasure_id) WHERE erasure_id <> '';

-- At most one request of a kind of a user is in progress.
CREATE UNIQUE INDEX privacy_requests_one ON privacy_requests (user_id, kind) WHERE status = 'in_progress';

CREATE TABLE privacy_request_actors (
	request_id VARCHAR(36) NOT NULL,
	actor      VARCHAR(16) NOT NULL,
	items      BIGINT      NOT NULL,
	at         BIGINT      NOT NULL,
	PRIMARY KEY (request_id, actor)
);
