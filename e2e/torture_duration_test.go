//go:build torture

package e2e_test

import (
	"os"
	"testing"
	"time"
)

// tortureDuration returns WEFT_TORTURE_DURATION, or ten seconds: how long a test injects faults.
func tortureDuration(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("WEFT_TORTURE_DURATION")
	if text == "" {
		return 10 * time.Second
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return duration
}
