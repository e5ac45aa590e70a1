package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/auth/lockout"
	"github.com/weftmesh/weft/actors/auth/password"
)

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	p, err := password.NewPolicy(8, 256, "")
	if err != nil {
		t.Fatal(err)
	}
	ada := user{Email: "test@example.com", FirstName: "Ada Maria", LastName: "Lovelace"}
	for password, good := range map[string]bool{
		"Test123!@#":                   true, // a long-standing example
		"correct horse battery staple": true,
		"xk7Rw2pQ":                     true,
		"ünïcödé ist schön":            true,
		"        x        ":            true,
		"lovelace and the engine":      true,
		"correcthorsebatterystaple":    false,
		"password":                     false,
		"PASSWORD":                     false,
		"Password123!":                 false,
		"P@$$w0rd2024":                 false,
		"2024password":                 false,
		"Summer2025!":                  false,
		"letmein12345":                 false,
		"qwertyuiop":                   false,
		"poiuytrewq":                   false,
		"87654321":                     false,
		"aaaaaaaaaaaa":                 false,
		"abcabcabcabc":                 false,
		"1qaz2wsx3edc":                 false,
		"test@example.com":             false,
		"adamaria1":                    false,
		"ecalevol1":                    true,
		"Lovelace1815":                 false,
		"weftweft!":                    false,
		"short 7":                      false,
	} {
		if err := p.Check(password, ada.ownWords()); (err == nil) != good {
			t.Errorf("%q: %v", password, err)
		}
	}
}

// TestBreachedPasswordsAreRefused: at least the 3000 most used passwords that are long enough, in any case.
func TestBreachedPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	p, err := password.NewPolicy(8, 256, "")
	if err != nil {
		t.Fatal(err)
	}
	known, err := password.Breached()
	if err != nil || len(known) < 10_000 {
		t.Fatalf("%d breached passwords: %v", len(known), err)
	}
	for password := range known {
		if utf8.RuneCountInString(password) < 8 {
			t.Errorf("%q is not long enough to be listed", password)
		}
		for _, typed := range []string{password, strings.ToUpper(password[:1]) + password[1:]} {
			if p.Check(typed, user{Email: "nobody@nowhere.example"}.ownWords()) == nil {
				t.Errorf("%q is accepted", typed)
			}
		}
	}
	for _, missing := range []string{"trustno1", "iloveyou", "jessica1", "!qaz2wsx", "michael1"} {
		if !known[missing] {
			t.Errorf("%s is not listed", missing)
		}
	}
}

func TestNormalEmail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		" Ada@Example.COM ":                "ada@example.com",
		"u\u0308ber@example.com":           "über@example.com",
		"a+b@example.com":                  "a+b@example.com",
		"Ada <ada@example.com>":            "",
		`"ada lovelace"@example.com`:       "",
		"ada@example.com, eve@evil.com":    "",
		"ada@exam\nple.com":                "",
		strings.Repeat("a", 250) + "@x.de": "",
		"":                                 "",
	} {
		got, err := normalEmail(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}

func FuzzNormalEmailIsIdempotent(f *testing.F) {
	f.Add("Ada@Example.com")
	f.Add("İ@x.tr")
	f.Fuzz(func(t *testing.T, s string) {
		once, err := normalEmail(s)
		if err != nil {
			return
		}
		if twice, err := normalEmail(once); err != nil || twice != once {
			t.Errorf("%q became %q, then %q, %v", s, once, twice, err)
		}
	})
}

func TestLockoutRule(t *testing.T) {
	t.Parallel()
	rule := lockout.Rule{Limit: 3, Duration: 10 * time.Minute}
	now := time.Unix(1_000_000, 0)
	var a lockout.AttemptRecord
	admit := func(id string, want lockout.Verdict) {
		t.Helper()
		next, got := rule.Admit(a, id, now)
		if got != want {
			t.Fatalf("%s: verdict %d, want %d (%+v)", id, got, want, a)
		}
		if got == lockout.Admitted {
			a = next
		}
	}
	for i := range 3 {
		admit(fmt.Sprint(i), lockout.Admitted)
	}
	admit("more", lockout.Busy)
	a = rule.Abandon(a, "2")
	admit("again", lockout.Admitted)
	a = rule.Settle(a, "0", false, now)
	if a.Failures != 0 || len(a.Pending) != 2 {
		t.Errorf("after a success: %+v", a)
	}
	now = now.Add(lockout.PendingTimeout + time.Second)
	admit("late", lockout.Admitted)
	if a.Failures != 2 {
		t.Errorf("attempts of a dead process do not count: %+v", a)
	}
	a = rule.Settle(a, "late", true, now)
	until := a.LockedUntil
	now = now.Add(10*time.Minute - time.Second)
	admit("locked", lockout.Locked)
	if a.LockedUntil != until {
		t.Errorf("an attempt extended the lock")
	}
	now = now.Add(time.Second)
	admit("after", lockout.Admitted)
	if a.Failures != 0 {
		t.Errorf("after the lock: %+v", a)
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "::ffff:203.0.113.7": "203.0.113.7/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "unknown": "",
	} {
		if got := lockout.Source(ip); got != want {
			t.Errorf("%q: got %q, want %q", ip, got, want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	if err := DefaultConfig().Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"bcrypt_cost": func(c *Config) { c.BcryptCost = 3 }, "password_min": func(c *Config) { c.PasswordMin = 7 },
		"access_ttl": func(c *Config) { c.AccessTTL = 0 }, "lockout_failures": func(c *Config) { c.LockoutFailures = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
