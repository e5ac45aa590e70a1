package mesh

import (
	"errors"
	"testing"
	"time"
)

func TestSettingErrorsNameSettingValueAndBounds(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"a.b is 3, and must be between 4 and 16":  SettingBetween("a.b", 3, 4, 16),
		"a.b is 17, and must be between 4 and 16": SettingBetween("a.b", 17, 4, 16),
		"a.b is 1ms, and must be at least 1s":     SettingAtLeast("a.b", time.Millisecond, time.Second),
		"a.b is 0s, and must be positive":         SettingPositive("a.b", time.Duration(0)),
		`a.b is "x", and must be a URL`:           InvalidSetting("a.b", "is %q, and must be a URL", "x"),
	} {
		var invalid *SettingError
		if !errors.As(err, &invalid) || invalid.Setting != "a.b" || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, err := range []error{SettingBetween("a", 4, 4, 16), SettingBetween("a", 16, 4, 16), SettingAtLeast("a", 1, 1), SettingPositive("a", 1)} {
		if err != nil {
			t.Errorf("a value within its bounds: %v", err)
		}
	}
}
