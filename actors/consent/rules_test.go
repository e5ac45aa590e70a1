package consent

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	with := func(expiry, most time.Duration) Config {
		c := DefaultConfig()
		c.Expiry, c.MaxExpiry = expiry, most
		return c
	}
	for name, test := range map[string]struct {
		config Config
		names  string // the setting that the error names; empty where there is none
	}{
		"default":              {DefaultConfig(), ""},
		"shortest":             {with(1, 1), ""},
		"no expiry":            {with(0, time.Hour), "consent.expiry "},
		"negative expiry":      {with(-1, time.Hour), "consent.expiry "},
		"maximum below expiry": {with(time.Hour, time.Minute), "consent.max_expiry "},
		"no maximum":           {with(time.Hour, 0), "consent.max_expiry "},
	} {
		err := test.config.Check()
		if (err == nil) != (test.names == "") || err != nil && !strings.HasPrefix(err.Error(), test.names) {
			t.Errorf("%s: %v, want %q", name, err, test.names)
		}
		if err == nil {
			continue
		}
		if _, e := New(actors.Deps{}, test.config); e == nil || e.Error() != err.Error() {
			t.Errorf("%s: New returned %v", name, e)
		}
	}
}

func TestStatusAt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		stored string
		now    time.Time
		want   string
	}{
		{subjects.ConsentActive, epoch.Add(-time.Microsecond), subjects.ConsentActive},
		{subjects.ConsentActive, epoch, subjects.ConsentExpired},
		{subjects.ConsentActive, epoch.Add(time.Microsecond), subjects.ConsentExpired},
		{subjects.ConsentRevoked, epoch.Add(time.Hour), subjects.ConsentRevoked},
		{subjects.ConsentSuperseded, epoch.Add(time.Hour), subjects.ConsentSuperseded},
	} {
		if got := statusAt(test.stored, epoch, test.now); got != test.want {
			t.Errorf("%s at %s: %s, want %s", test.stored, test.now, got, test.want)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	ends := epoch
	for name, test := range map[string]struct {
		state subjects.ConsentState
		known bool
		now   time.Time
		want  string
	}{
		"no state":              {subjects.ConsentState{}, false, epoch, reasonMissing},
		"active":                {subjects.ConsentState{Status: subjects.ConsentActive, ExpiresAt: &ends}, true, epoch.Add(-1), subjects.ConsentActive},
		"active for ever":       {subjects.ConsentState{Status: subjects.ConsentActive}, true, epoch, subjects.ConsentActive},
		"expired":               {subjects.ConsentState{Status: subjects.ConsentActive, ExpiresAt: &ends}, true, epoch, subjects.ConsentExpired},
		"revoked":               {subjects.ConsentState{Status: subjects.ConsentRevoked, ExpiresAt: &ends}, true, epoch.Add(-1), subjects.ConsentRevoked},
		"revoked, then expired": {subjects.ConsentState{Status: subjects.ConsentRevoked, ExpiresAt: &ends}, true, epoch, subjects.ConsentRevoked},
		"needs a renewal":       {subjects.ConsentState{Status: subjects.ConsentRenewalRequired, ExpiresAt: &ends}, true, epoch.Add(-1), subjects.ConsentRenewalRequired},
		"suppressed":            {subjects.ConsentState{Status: subjects.ConsentGPC}, true, epoch, subjects.ConsentGPC},
		"unknown status":        {subjects.ConsentState{Status: "paused"}, true, epoch, subjects.ConsentRevoked},
	} {
		test.state.ConsentID = "c"
		d := decide("scope", test.state, test.known, test.now)
		if d.Reason != test.want || d.Allowed != (test.want == subjects.ConsentActive) || d.Scope != "scope" || (d.ConsentID == "c") != test.known {
			t.Errorf("%s: %+v, want %s", name, d, test.want)
		}
	}
}

func TestContinuesAfter(t *testing.T) {
	t.Parallel()
	var continues []string
	for n := range maxContinues + 5 {
		before := slices.Clone(continues)
		continues = continuesAfter(strconv.Itoa(n), continues)
		if continues[0] != strconv.Itoa(n) || len(continues) != min(n+1, maxContinues) {
			t.Fatalf("after %d renewals: %v", n+1, continues)
		}
		if kept := before[:min(len(before), maxContinues-1)]; !slices.Equal(continues[1:], kept) {
			t.Fatalf("%v continues %v", continues, before)
		}
	}
}

func TestReplaces(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version int64
		old     int64
		known   bool
		want    bool
	}{
		{1, 0, false, true}, {1, 1, true, false}, {2, 1, true, true}, {1, 2, true, false},
	} {
		if got := replaces(test.version, subjects.ConsentState{Version: test.old}, test.known); got != test.want {
			t.Errorf("version %d replaces %d (known %t): %t", test.version, test.old, test.known, got)
		}
	}
}
