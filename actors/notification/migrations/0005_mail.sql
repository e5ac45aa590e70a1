CREATE TABLE mail_suppressions (
	id           VARCHAR(36)  NOT NULL PRIMARY KEY,
	address_hash VARCHAR(64)  NOT NULL UNIQUE,
	-- Sealed, in Base64.
	address      TEXT         NOT NULL,
	user_id      VARCHAR(64)  NOT NULL,
	reason       VARCHAR(16)  NOT NULL,
	provider     VARCHAR(32)  NOT NULL,
	detail       VARCHAR(300) NOT NULL,
	since        BIGINT       NOT NULL
);

CREATE INDEX mail_suppressions_by_user ON mail_suppressions (user_id) WHERE user_id <> '';

CREATE TABLE provider_reports (
	provider    VARCHAR(32)  NOT NULL,
	report_id   VARCHAR(200) NOT NULL,
	received_at BIGINT       NOT NULL,
	PRIMARY KEY (provider, report_id)
);

CREATE INDEX provider_reports_by_time ON provider_reports (received_at);
