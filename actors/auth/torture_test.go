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

// samples is how many of each kind are taken before anything is said: 200, or as many as WEFT_TORTURE_DURATION leaves time
// for, never fewer than minSamples. WEFT_TORTURE_SAMPLES sets another number. What is undecided then goes on, to mostSamples.
const (
	samples     = 200
	minSamples  = 40
	mostSamples = 9000
)

// The medians' greatest difference. Few samples say less, so that a short run is a smoke test alone.
const (
	spread      = 0.05
	shortSpread = 0.25
)

// lettersPerHour is the most that can be set.
const lettersPerHour = 1000

// jitter is a difference that is allowed however short the call is: the wire's own.
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

// probe is one kind of address, tried the i-th time.
type probe struct {
	name string
	try  func(i int)
}

// takeAlike measures kinds of address, until it is certain that they take as long or the time is over, and fails the test where
// time tells two of them apart. Where that is uncertain it says so: give it longer, or a quieter machine.
func takeAlike(t *testing.T, what string, probes ...probe) {
	t.Helper()
	count, long := torture(t)
	for i := range 5 {
		for _, p := range probes {
			p.try(-i - 1) // warm
		}
	}
	var measured timing
	tried := 0
	for start := time.Now(); ; {
		measured.take(len(probes), func(k int) { probes[k].try(tried); tried++ })
		taken := len(measured.medians) * perRound
		late := time.Since(start) > long && taken >= minSamples
		if late || taken >= mostSamples || taken >= count && allAlike(measured, len(probes)) {
			break
		}
	}
	for k, p := range probes {
		t.Logf("%s, %s: median %s of %d", what, p.name, measured.of(k).Round(time.Microsecond), len(measured.medians)*perRound)
	}
	eachPair(len(probes), func(a, b int) {
		low, mid, high := measured.difference(a, b)
		allowed := bound(measured)
		v := measured.verdict(a, b, allowed)
		t.Logf("%s, %s less %s: %s, certainly between %s and %s; %s is allowed", what, probes[b].name, probes[a].name, mid, low, high, allowed)
		switch v {
		case apart:
			t.Errorf("%s: time tells %s from %s", what, probes[a].name, probes[b].name)
		case undecided:
			t.Logf("%s: this machine is too busy to tell whether time does", what)
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

// bound is the greatest difference that is allowed.
func bound(m timing) time.Duration {
	share := spread
	if len(m.medians)*perRound < samples {
		share = shortSpread
	}
	return max(jitter, time.Duration(share*float64(m.of(0))))
}

func allAlike(m timing, kinds int) bool {
	all := true
	eachPair(kinds, func(a, b int) { all = all && m.verdict(a, b, bound(m)) == alike })
	return all
}

// TestTimeTellsNobodyWhoHasAnAccount measures calls for unknown, known, locked and unverified addresses.
func TestTimeTellsNobodyWhoHasAnAccount(t *testing.T) {
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			b := setup(t, kind, func(c *auth.Config) {
				c.BcryptCost, c.RequireVerifiedEmail, c.LettersPerHour = 10, true, lettersPerHour
				c.LockoutFailures, c.AccountFailures = 1000, 1_000_000
			})
			box := b.mailbox()
			b.register("known@example.com")
			must(b, subjects.VerifyEmail, subjects.VerifyEmailRequest{
				Token: box.wait("known@example.com", verifySubject, 1).token(t),
			}, "")
			b.register("unverified@example.com")
			refusedLogin := func(email, password string) func(int) {
				return func(int) {
					_, err := call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: password}, "")
					refused(t, err, subjects.CodeUnauthenticated)
				}
			}
			takeAlike(t, "login",
				probe{"unknown", refusedLogin("unknown@example.com", goodPassword)},
				probe{"known", refusedLogin("known@example.com", "wrong wrong")},
				probe{"unverified", refusedLogin("unverified@example.com", goodPassword)})
			register := func(email func(i int) string) func(int) {
				return func(i int) {
					must(b, subjects.Register, subjects.RegisterRequest{Email: email(i), Password: goodPassword}, "")
				}
			}
			free := 0
			is := func(email string) func(int) string { return func(int) string { return email } }
			takeAlike(t, "register",
				probe{"free", register(func(int) string { free++; return fmt.Sprintf("free%d@example.com", free) })},
				probe{"known", register(is("known@example.com"))},
				probe{"unverified", register(is("unverified@example.com"))})
			for what, e := range map[string]subjects.Endpoint[subjects.EmailRequest, subjects.Accepted]{
				"forgot": subjects.RequestPasswordReset, "resend": subjects.ResendVerification,
			} {
				ask := func(email string) func(int) {
					return func(i int) {
						if i%lettersPerHour == 0 {
							b.clock.forward(2 * time.Hour) // no address comes to what an hour allows
						}
						must(b, e, subjects.EmailRequest{Email: email}, "")
					}
				}
				takeAlike(t, what,
					probe{"unknown", ask("unknown@example.com")},
					probe{"known", ask("known@example.com")},
					probe{"unverified", ask("unverified@example.com")})
			}
		})
	}
}

func TestTimeTellsNothingOfLockedAddresses(t *testing.T) {
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
					refused(t, try(email), subjects.CodeUnauthenticated)
				}
				return func(int) { refused(t, try(email), subjects.CodeRateLimited) }
			}
			takeAlike(t, "login while locked",
				probe{"unknown", locked("unknown@example.com")}, probe{"known", locked("known@example.com")})
		})
	}
}

// logoutTries is how often the measurement of logouts is repeated when it exceeds its bound: a busy machine is not busy each
// time.
const logoutTries = 6

// TestALogoutReachesAnotherProcessFast measures from the sending of logout to the first refusal of the session's
// access token by the verifier of another connection, as every actor and gateway has one.
func TestALogoutReachesAnotherProcessFast(t *testing.T) {
	b := setup(t, actortest.Databases(t)[0])
	b.register("ada@example.com")
	elsewhere := b.verifier()
	for range logoutTries {
		if p99 := logoutsReach(t, b, elsewhere); p99 <= 50*time.Millisecond {
			return
		}
	}
	t.Errorf("another process takes an ended session's token for longer than 50 ms (p99)")
}

func logoutsReach(t *testing.T, b *bench, elsewhere *mesh.Verifier) (p99 time.Duration) {
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
				t.Fatalf("the token is good 10 s after the logout: %v", err)
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
