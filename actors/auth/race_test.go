package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

func TestConcurrentRegistersCreateOneAccount(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		const n = 50
		spelling := func(i int) string {
			name := []byte("adalove@example.com")
			for bit := range 7 {
				if i>>bit&1 == 1 {
					name[bit] -= 'a' - 'A'
				}
			}
			return string(name)
		}
		errs := concurrently(n, func(i int) error {
			_, err := call(b, subjects.Register, subjects.RegisterRequest{
				Email: spelling(i), Password: fmt.Sprintf("password of %02d, long", i),
			}, "")
			return err
		})
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
		accounts := map[string]bool{}
		for i := range n {
			session, err := call(b, subjects.Login, subjects.LoginRequest{
				Email: spelling(i), Password: fmt.Sprintf("password of %02d, long", i),
			}, "")
			if err == nil {
				accounts[session.User.ID] = true
			}
		}
		if got := b.metric("auth_registrations_total", ""); got != 1 || len(accounts) != 1 {
			t.Errorf("%v accounts were created, want 1; %d accounts can be signed in to", got, len(accounts))
		}
	}, func(c *auth.Config) { c.LockoutFailures = 100 })
}

func TestConcurrentRefreshesHaveOneSuccessor(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	successors := make([]string, 50)
	errs := concurrently(len(successors), func(i int) error {
		got, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
		successors[i] = got.RefreshToken
		return err
	})
	for i, err := range errs {
		if err != nil {
			t.Fatalf("a refresh failed: %v", err)
		}
		if successors[i] != successors[0] || successors[i] == session.RefreshToken {
			t.Fatalf("different successors: %s and %s", successors[0], successors[i])
		}
	}
	mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: successors[0]}, "")
}

func TestConcurrentGuessesAreLimited(t *testing.T) {
	b := onSQLite(t)
	b.register("ada@example.com")
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		before := b.metric("auth_password_hashes_total", "")
		errs := concurrently(50, func(int) error { return b.loginFrom("203.0.113.7", email, "wrong wrong") })
		compared, late := 0, 0
		for _, err := range errs {
			switch {
			case subjects.CodeOf(err) == subjects.CodeUnauthenticated:
				compared++
			case isOverload(err):
				late++
			default:
				if e := requireCode(t, err, subjects.CodeRateLimited); e.RetryAfter < 29*time.Minute || e.RetryAfter > 30*time.Minute {
					t.Errorf("%s: retry after %s", email, e.RetryAfter)
				}
			}
		}
		hashes := b.metric("auth_password_hashes_total", "") - before
		if compared > 5 || hashes > 5 || late == 0 && (compared < 5 || hashes < 5) {
			t.Errorf("%s: %d of 50 were compared, %v hashes computed, want 5", email, compared, hashes)
		}
	}
}

// isOverload reports whether a call failed because the machine was busy, which says nothing about the rule under test.
func isOverload(err error) bool {
	switch subjects.CodeOf(err) {
	case subjects.CodeTimeout, subjects.CodeUnavailable:
		return true
	}
	var e *subjects.Error
	return errors.As(err, &e) && e.Code == subjects.CodeRateLimited && e.RetryAfter == time.Second && strings.Contains(e.Detail, "at once")
}

func TestConcurrentCorrectLoginsSucceed(t *testing.T) {
	b := onSQLite(t)
	b.register("ada@example.com")
	for _, err := range concurrently(20, func(int) error { return b.loginFrom("203.0.113.7", "ada@example.com", goodPassword) }) {
		if err != nil {
			t.Fatalf("a correct login was refused: %v", err)
		}
	}
	eventually(t, "20 sessions are counted", func() bool { return b.metric("auth_active_sessions", "") == 20 })
}

func TestLockoutIsPerSourceAndEnds(t *testing.T) {
	b := onSQLite(t)
	b.register("ada@example.com")
	guess := func(ip string) subjects.Code {
		return subjects.CodeOf(b.loginFrom(ip, "ada@example.com", "wrong wrong"))
	}
	for i := range 5 {
		if got := guess("2001:db8::1"); got != subjects.CodeUnauthenticated {
			t.Fatalf("guess %d: %s", i+1, got)
		}
	}
	if err := b.loginFrom("2001:db8::2", "Ada@Example.com", goodPassword); subjects.CodeOf(err) != subjects.CodeRateLimited {
		t.Errorf("the same network is not locked: %v", err)
	}
	if err := b.loginFrom("198.51.100.9", "ada@example.com", goodPassword); err != nil {
		t.Errorf("another source is locked out: %v", err)
	}
	b.clock.advance(29 * time.Minute)
	if got := guess("2001:db8::1"); got != subjects.CodeRateLimited {
		t.Errorf("after 29 minutes: %s", got)
	}
	b.clock.advance(time.Minute)
	if err := b.loginFrom("2001:db8::1", "ada@example.com", goodPassword); err != nil {
		t.Errorf("attempts while locked extended the lock: %v", err)
	}
	for i := range 5 {
		if got := guess("2001:db8::1"); got != subjects.CodeUnauthenticated {
			t.Fatalf("a success does not reset the failures, guess %d: %s", i+1, got)
		}
	}
	if got := b.metric("auth_logins_total", "locked"); got != 2 {
		t.Errorf("%v locked logins were counted, want 2", got)
	}
}

func TestFullHashingPoolRefusesSignInsOnly(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.BcryptCost, c.HashWorkers, c.HashQueue, c.AccountFailures = 9, 1, 20, 100 })
	token := b.signUp("ada@example.com").AccessToken
	done := make(chan []error, 1)
	go func() {
		done <- concurrently(60, func(i int) error { return b.loginFrom(fmt.Sprintf("203.0.113.%d", i), "ada@example.com", goodPassword) })
	}()
	eventually(t, "a login is refused", func() bool { return b.metric("auth_logins_total", "busy") > 0 })
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, token)
	select {
	case <-done:
		t.Fatal("the profile waited for the logins")
	default:
	}
	in, out := 0, 0
	for _, err := range <-done {
		if err == nil {
			in++
			continue
		}
		out++
		if isOverload(err) {
			continue
		}
		if e := requireCode(t, err, subjects.CodeRateLimited); e.RetryAfter < time.Second || strings.Contains(e.Detail, "failed") {
			t.Errorf("refused with %+v", e)
		}
	}
	if in < 1 || out < 1 {
		t.Errorf("%d logins succeeded, %d were refused", in, out)
	}
	eventually(t, "a refusal does not count as a failure", func() bool {
		return b.loginFrom("203.0.113.0", "ada@example.com", goodPassword) == nil
	})
}

func TestAccountLimiterSparesKnownDevices(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.AccountFailures = 8 })
	device := b.signUp("ada@example.com").DeviceToken
	eve := b.signUp("eve@example.com").DeviceToken
	compared, late := 0, 0
	for _, err := range concurrently(40, func(i int) error {
		return b.loginFrom(fmt.Sprintf("203.0.113.%d", i), "ada@example.com", "wrong wrong")
	}) {
		switch {
		case subjects.CodeOf(err) == subjects.CodeUnauthenticated:
			compared++
		case isOverload(err):
			late++
		}
	}
	if compared > 8 || late == 0 && compared < 8 {
		t.Errorf("%d guesses from 40 addresses were compared, want 8", compared)
	}
	for token, want := range map[string]subjects.Code{
		device: "", "": subjects.CodeRateLimited, eve: subjects.CodeRateLimited, device[1:] + "A": subjects.CodeRateLimited,
	} {
		_, err := call(b, subjects.Login, subjects.LoginRequest{
			Email: "ada@example.com", Password: goodPassword, DeviceToken: token,
		}, "")
		if subjects.CodeOf(err) != want {
			t.Errorf("device %.8s: got %v, want %q", token, err, want)
		}
	}
	b.clock.advance(30 * time.Minute)
	b.login("ada@example.com")
}
