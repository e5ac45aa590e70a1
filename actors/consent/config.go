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
}

// DefaultConfig returns a lifetime of 365 days and a maximum of ten years.
func DefaultConfig() Config {
	return Config{Expiry: 365 * 24 * time.Hour, MaxExpiry: 10 * 365 * 24 * time.Hour}
}
