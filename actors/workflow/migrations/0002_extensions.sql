-- What is known of the extensions, from what their copies answered last.
CREATE TABLE extensions (
	name         VARCHAR(32) NOT NULL PRIMARY KEY,
	-- The versions of the copies, separated by line feeds.
	versions     TEXT        NOT NULL,
	copies       BIGINT      NOT NULL,
	fault        TEXT        NOT NULL,
	-- The functions with their metadata, JSON.
	declarations TEXT        NOT NULL,
	seen_at      BIGINT      NOT NULL
);

-- The functions of extensions that the definition calls: a JSON object of their versions, by name.
ALTER TABLE workflow_versions ADD COLUMN functions TEXT NOT NULL DEFAULT '';

-- The extensions whose events the definition may receive, separated by spaces; '*': of any.
ALTER TABLE workflow_versions ADD COLUMN extension_events TEXT NOT NULL DEFAULT '';

CREATE INDEX workflow_versions_extension_events ON workflow_versions (workflow_id) WHERE extension_events <> '';
