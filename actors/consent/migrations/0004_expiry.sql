-- The consents whose users were notified that they expire soon.
CREATE TABLE consent_expiry_notices (
	consent_id VARCHAR(36) NOT NULL PRIMARY KEY,
	sent_at    BIGINT      NOT NULL
);

CREATE INDEX consents_by_expiry ON consents (expires_at, id);

CREATE INDEX consents_by_revocation ON consents (revoked_at, id) WHERE status = 'revoked';

CREATE INDEX consents_by_refusal ON consents (granted_at, id) WHERE status = 'refused';
