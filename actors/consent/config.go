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
	Ledger    LedgerConfig   `koanf:"ledger"`
	Privacy   PrivacyConfig  `koanf:"privacy"`
	// PublicURL is the gateway's base URL as users reach it: the prefix of links in receipts. Empty for integration.public_url.
	PublicURL  string           `koanf:"public_url"`
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
	return Config{
		Expiry: 365 * 24 * time.Hour, MaxExpiry: 10 * 365 * 24 * time.Hour, MaxGrantsPerDay: 500, Notices: defaultNoticesConfig(),
		Privacy: defaultPrivacyConfig(),
	}
}
