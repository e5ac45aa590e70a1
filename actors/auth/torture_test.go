//go:build torture

package auth_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// samples is the number of samples of each kind: 200, or as many as WEFT_TORTURE_DURATION allows, at least minSamples.
// WEFT_TORTURE_SAMPLES sets another number. While the result is undecided, sampling continues up to mostSamples.
const (
	samples     = 200
	minSamples  = 40
	mostSamples = 9000
)

// Maximum difference of the medians, as a share. A run with few samples is a smoke test.
const (
	maxSpread      = 0.05
	maxShortSpread = 0.25
)

// lettersPerHour is the maximum of the setting.
const lettersPerHour = 1000

// jitter is a difference that is always allowed: that of the network.
const jitter = 100 * time.Microsecond

func torture(t *testing.T) (count int, long time.Duration) {
	t.Helper()
	count, long = samples, 10*time.Second
	var err error
	if text := os.Getenv("WEFT_TORTURE_DURATION"); text != "" {
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WEFT_TORTURE_SAMPLES"); text != "" {
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		long = time.Hour
	}
	return count, long
}

// probe is one kind of address; try makes the i-th call.
type probe struct {
	name string
	try  func(i int)
}

// requireAlike measures the kinds of address until they are certainly alike or the time is over. It fails the test if
// two kinds are certainly apart, and logs undecided pairs, which need more time or a quieter machine.
func requireAlike(t *testing.T, what string, probes ...probe) {
	t.Helper()
	count, long := torture(t)
	for i := range 5 {
		for _, p := range probes {
			p.try(-i - 1) // warm up
		}
	}
	var measured timing
	tried := 0
	for start := time.Now(); ; {
		measured.takeRound(len(probes), func(k int) { probes[k].try(tried); tried++ })
		taken := len(measured.medians) * perRound
		late := time.Since(start) > long && taken >= minSamples
		if late || taken >= mostSamples || taken >= count && allAlike(measured, len(probes)) {
			break
		}
	}
	for k, p := range probes {
		t.Logf("%s, %s: median %s of %d", what, p.name, measured.medianOf(k).Round(time.Microsecond), len(measured.medians)*perRound)
	}
	eachPair(len(probes), func(a, b int) {
		low, mid, high := measured.difference(a, b)
		allowed := bound(measured)
		v := measured.verdict(a, b, allowed)
		t.Logf("%s, %s minus %s: %s, interval %s to %s, bound %s", what, probes[b].name, probes[a].name, mid, low, high, allowed)
		switch v {
		case apart:
			t.Errorf("%s: timing distinguishes %s from %s", what, probes[a].name, probes[b].name)
		case undecided:
			t.Logf("%s: undecided: the machine is too busy", what)
		}
	})
}

func eachPair(kinds int, f func(a, b int)) {
	for a := range kinds {
		for b := a + 1; b < kinds; b++ {
			f(a, b)
		}
	}
}

// bound returns the maximum difference that is allowed.
func bound(m timing) time.Duration {
	share := maxSpread
	if len(m.medians)*perRound < samples {
		share = maxShortSpread
	}
	return max(jitter, time.Duration(share*float64(m.medianOf(0))))
}

func allAlike(m timing, kinds int) bool {
	all := true
	eachPair(kinds, func(a, b int) { all = all && m.verdict(a, b, bound(m)) == alike })
	return all
}

// TestTimingDoesNotRevealAccounts measures calls for unknown, known and unverified addresses.
func TestTimingDoesNotRevealAccounts(t *testing.T) {
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			b := setup(t, kind, func(c *auth.Config) {
				c.BcryptCost, c.RequireVerifiedEmail, c.LettersPerHour = 10, true, lettersPerHour
				c.LockoutFailures, c.AccountFailures = 1000, 1_000_000
			})
			box := b.mailbox()
			b.register("known@example.com")
			mustCall(b, subjects.VerifyEmail, subjects.VerifyEmailRequest{
				Token: box.waitFor("known@example.com", verifySubject, 1).token(t),
			}, "")
			b.register("unverified@example.com")
			refusedLogin := func(email, password string) func(int) {
				return func(int) {
					_, err := call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: password}, "")
					requireCode(t, err, subjects.CodeUnauthenticated)
				}
			}
			requireAlike(t, "login",
				probe{"unknown", refusedLogin("unknown@example.com", goodPassword)},
				probe{"known", refusedLogin("known@example.com", "wrong wrong")},
				probe{"unverified", refusedLogin("unverified@example.com", goodPassword)})
			register := func(email func(i int) string) func(int) {
				return func(i int) {
					mustCall(b, subjects.Register, subjects.RegisterRequest{Email: email(i), Password: goodPassword}, "")
				}
			}
			free := 0
			is := func(email string) func(int) string { return func(int) string { return email } }
			requireAlike(t, "register",
				probe{"free", register(func(int) string { free++; return fmt.Sprintf("free%d@example.com", free) })},
				probe{"known", register(is("known@example.com"))},
				probe{"unverified", register(is("unverified@example.com"))})
			for what, e := range map[string]subjects.Endpoint[subjects.EmailRequest, subjects.Accepted]{
				"reset request": subjects.RequestPasswordReset, "resend": subjects.ResendVerification,
			} {
				ask := func(email string) func(int) {
					return func(i int) {
						if i%lettersPerHour == 0 {
							b.clock.advance(2 * time.Hour) // stay below the hourly limit of messages
						}
						mustCall(b, e, subjects.EmailRequest{Email: email}, "")
					}
				}
				requireAlike(t, what,
					probe{"unknown", ask("unknown@example.com")},
					probe{"known", ask("known@example.com")},
					probe{"unverified", ask("unverified@example.com")})
			}
		})
	}
}

func TestTimingDoesNotRevealLockedAddresses(t *testing.T) {
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			b := setup(t, kind)
			b.register("known@example.com")
			try := func(email string) error {
				_, err := call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: "wrong wrong"}, "")
				return err
			}
			locked := func(email string) func(int) {
				for range 5 {
					requireCode(t, try(email), subjects.CodeUnauthenticated)
				}
				return func(int) { requireCode(t, try(email), subjects.CodeRateLimited) }
			}
			requireAlike(t, "login while locked",
				probe{"unknown", locked("unknown@example.com")}, probe{"known", locked("known@example.com")})
		})
	}
}

// logoutTries is how often the measurement is repeated if it exceeds its bound, because the machine may be busy.
const logoutTries = 6

// TestLogoutLatencyAtAnotherProcess measures from the call of logout to the first refusal of the session's access token
// by the verifier of another connection, such as every actor and gateway has.
func TestLogoutLatencyAtAnotherProcess(t *testing.T) {
	b := setup(t, actortest.Databases(t)[0])
	b.register("ada@example.com")
	elsewhere := b.verifier()
	for range logoutTries {
		if p99 := logoutsReach(t, b, elsewhere); p99 <= 50*time.Millisecond {
			return
		}
	}
	t.Errorf("another process accepts the token of an ended session for longer than 50 ms (p99)")
}

func logoutsReach(t *testing.T, b *harness, elsewhere *mesh.Verifier) (p99 time.Duration) {
	t.Helper()
	count, long := torture(t)
	var refusals, answers []time.Duration
	for start := time.Now(); len(refusals) < count && (len(refusals) < minSamples || time.Since(start) < long); {
		token := b.login("ada@example.com").AccessToken
		if _, err := elsewhere.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		answered := make(chan time.Duration, 1)
		go func() {
			_, err := call(b, subjects.Logout, subjects.LogoutRequest{}, token)
			if err != nil {
				t.Error(err)
			}
			answered <- time.Since(sent)
		}()
		for {
			_, err := elsewhere.Verify(t.Context(), token)
			if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
				break
			}
			if time.Since(sent) > 10*time.Second {
				t.Fatalf("the token is valid 10 s after the logout: %v", err)
			}
			runtime.Gosched()
		}
		refusals = append(refusals, time.Since(sent))
		answers = append(answers, <-answered)
	}
	slices.Sort(refusals)
	slices.Sort(answers)
	at := func(d []time.Duration, p int) time.Duration { return d[min(len(d)-1, len(d)*p/100)] }
	t.Logf("%d logouts: refused elsewhere after p50 %s, p99 %s; answered after p50 %s, p99 %s", len(refusals),
		at(refusals, 50), at(refusals, 99), at(answers, 50), at(answers, 99))
	return at(refusals, 99)
}
