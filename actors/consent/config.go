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
}

// DefaultConfig returns a lifetime of 365 days and a maximum of ten years.
func DefaultConfig() Config {
	return Config{Expiry: 365 * 24 * time.Hour, MaxExpiry: 10 * 365 * 24 * time.Hour, MaxGrantsPerDay: 500}
}
