-- The number of changes of templates. A change takes the next one and holds the row until it commits, so that changes have one order.
CREATE TABLE template_revisions (
	id       INTEGER NOT NULL PRIMARY KEY,
	revision BIGINT  NOT NULL
);

INSERT INTO template_revisions (id, revision) VALUES (1, 0);

-- One version of the variant of a template for a locale and a channel ('' for every channel). Rows do not change; a deletion is a version.
CREATE TABLE templates (
	template_id VARCHAR(64) NOT NULL,
	locale      VARCHAR(35) NOT NULL,
	channel     VARCHAR(16) NOT NULL,
	version     INTEGER     NOT NULL,
	-- The change that made it. The oldest version that is kept has that of the oldest one there was.
	revision    BIGINT      NOT NULL,
	deleted     BOOLEAN     NOT NULL,
	kind        VARCHAR(16) NOT NULL,
	-- JSON: what other templates it uses.
	uses        TEXT        NOT NULL,
	-- JSON: sources and sample data.
	content     TEXT        NOT NULL,
	created_at  BIGINT      NOT NULL,
	PRIMARY KEY (template_id, locale, channel, version)
);

ALTER TABLE deliveries ADD COLUMN template_version INTEGER NOT NULL DEFAULT 0;

ALTER TABLE deliveries ADD COLUMN locale VARCHAR(35) NOT NULL DEFAULT '';
