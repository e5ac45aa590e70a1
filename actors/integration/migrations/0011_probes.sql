-- The newest health probe of each connection, and when its next is due.
CREATE TABLE probes (
	connection_id VARCHAR(36) NOT NULL PRIMARY KEY,
	user_id       VARCHAR(64) NOT NULL,
	provider      VARCHAR(64) NOT NULL,
	at            BIGINT      NOT NULL,
	due_at        BIGINT      NOT NULL,
	duration      BIGINT      NOT NULL,
	class         VARCHAR(16) NOT NULL
);

CREATE INDEX probes_by_user ON probes (user_id, provider);

CREATE INDEX probes_due ON probes (due_at);
