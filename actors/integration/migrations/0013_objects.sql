-- Files that actions take and yield by reference. Their parts are in the object store integration_objects, sealed with
-- data_key, which is sealed itself. Times are microseconds since 1970. size is -1 where nobody has announced it; reserved is
-- what counts for the user in object_usage.
CREATE TABLE objects (
	id           VARCHAR(36)  NOT NULL PRIMARY KEY,
	user_id      VARCHAR(64)  NOT NULL,
	name         VARCHAR(255) NOT NULL,
	content_type VARCHAR(255) NOT NULL,
	state        VARCHAR(16)  NOT NULL,
	size         BIGINT       NOT NULL,
	reserved     BIGINT       NOT NULL,
	sha256       VARCHAR(64)  NOT NULL,
	part_size    BIGINT       NOT NULL,
	data_key     BYTEA        NOT NULL,
	keep_for     BIGINT       NOT NULL,
	created_at   BIGINT       NOT NULL,
	expires_at   BIGINT       NOT NULL
);

CREATE INDEX objects_by_user ON objects (user_id, id);

CREATE INDEX objects_to_expire ON objects (expires_at);

-- stored is 1 once the object store has the part.
CREATE TABLE object_parts (
	object_id VARCHAR(36) NOT NULL,
	number    BIGINT      NOT NULL,
	size      BIGINT      NOT NULL,
	sha256    VARCHAR(64) NOT NULL,
	stored    BIGINT      NOT NULL,
	PRIMARY KEY (object_id, number)
);

-- What a user's objects take up, so that no two uploads at once pass the limit together.
CREATE TABLE object_usage (
	user_id VARCHAR(64) NOT NULL PRIMARY KEY,
	bytes   BIGINT      NOT NULL
);
