package consent

import (
	"time"
)

// Config is the section consent of the settings.
type Config struct {
	// Expiry is the lifetime of a consent whose grant names no expiry.
	Expiry time.Duration `koanf:"expiry"`
	// MaxExpiry is the longest lifetime that a grant may name.
	MaxExpiry time.Duration `koanf:"max_expiry"`
	// MaxGrantsPerDay is how many consents a user may grant in 24 hours. Every grant is kept for good. Revocations are not counted.
	MaxGrantsPerDay int `koanf:"max_grants_per_day"`
	// Purposes are what data are processed for, by id. Those of weft's scopes are built in; one with such an id changes it.
	Purposes map[string]PurposeConfig `koanf:"purposes"`
	Notices  NoticesConfig            `koanf:"notices"`
	// RequireAge refuses consents without the user's age. By default an unknown age is no barrier.
	RequireAge bool `koanf:"require_age"`
	// ChildAges are the ages at which users may consent for themselves, by ISO 3166 code, EU or default, where they differ from weft's table.
	ChildAges map[string]int `koanf:"child_ages"`
	// ExpiryNotice is how long before a consent expires its user is notified, once; of a consent with a shorter lifetime than two of it, half the
	// lifetime before. 0: not at all.
	ExpiryNotice time.Duration `koanf:"expiry_notice"`
	// RenewURL is the page of the app on which a consent is renewed. Notices link to it, with consent_id and scope in the query. Without it they have no
	// link.
	RenewURL string `koanf:"renew_url"`
	// Retention is for how long ended consents and refusals are kept.
	Retention RetentionConfig `koanf:"retention"`
	// Ledger is the transparency log of consents.
	Ledger LedgerConfig `koanf:"ledger"`
	// Privacy bounds the requests of users about their data.
	Privacy PrivacyConfig `koanf:"privacy"`
	// PublicURL is the gateway's base URL as users reach it: the prefix of links in receipts. Empty for integration.public_url.
	PublicURL string `koanf:"public_url"`
	// Controller is who is responsible for the processing (GDPR Art. 4(7)).
	Controller ControllerConfig `koanf:"controller"`
}

// LedgerConfig is the transparency log of consents.
type LedgerConfig struct {
	// Origin is the log's name: a URL without a scheme. It is fixed at the first start. Default: that of the issuer, and the ledger's path.
	Origin string `koanf:"origin"`
	// Witnesses cosign each checkpoint (C2SP tlog-witness): for each its verifier key, a space and the URL of its submission prefix.
	Witnesses []string `koanf:"witnesses"`
	// Quorum is how many witnesses must have cosigned a checkpoint before it is served; 0 serves it at once.
	Quorum int `koanf:"quorum"`
}

// DefaultConfig returns a lifetime of 365 days and a maximum of ten years.
func DefaultConfig() Config {
	const day = 24 * time.Hour
	return Config{
		Expiry: 365 * day, MaxExpiry: 10 * 365 * day, MaxGrantsPerDay: 500, Notices: defaultNoticesConfig(), ExpiryNotice: 14 * day,
		Retention: defaultRetention(), Privacy: defaultPrivacyConfig(),
	}
}
