//go:build torture

package auth_test

import (
	"fmt"
	"math/rand/v2"
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

// samples is how many of each kind are taken: 200, or as many as WEFT_TORTURE_DURATION leaves time for, never fewer
// than minSamples. WEFT_TORTURE_SAMPLES sets another number.
const (
	samples    = 200
	minSamples = 40
)

// The medians' greatest difference. Few samples say less, so that a short run is a smoke test alone.
const (
	spread      = 0.05
	shortSpread = 0.25
)

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

// tries is how often a measurement that exceeds its bound is repeated: a leak is there each time, a busy machine not.
const tries = 6

// alike takes interleaved samples of each kind and compares their medians.
func alike(t *testing.T, what string, probes ...probe) {
	t.Helper()
	for range tries {
		if measured(t, what, probes...) {
			return
		}
	}
	t.Errorf("%s: time tells the kinds of address apart", what)
}

// shuffled is an order of so many samples of each kind, in which each follows upon each as often: what a call leaves to
// be done afterwards slows the next one.
func shuffled(count, kinds int) []int {
	order := make([]int, 0, count*kinds)
	for i := range count * kinds {
		order = append(order, i%kinds)
	}
	rand.Shuffle(len(order), func(i, k int) { order[i], order[k] = order[k], order[i] })
	return order
}

func fewest(times [][]time.Duration) int {
	least := len(times[0])
	for _, t := range times {
		least = min(least, len(t))
	}
	return least
}

func measured(t *testing.T, what string, probes ...probe) bool {
	t.Helper()
	count, long := torture(t)
	for i := range 5 {
		for _, p := range probes {
			p.try(-i - 1) // warm
		}
	}
	times := make([][]time.Duration, len(probes))
	start := time.Now()
	for i, k := range shuffled(count, len(probes)) {
		if time.Since(start) > long && fewest(times) >= minSamples {
			break
		}
		at := time.Now()
		probes[k].try(i)
		times[k] = append(times[k], time.Since(at))
	}
	bound := spread
	if fewest(times) < samples {
		bound = shortSpread
	}
	var low, high time.Duration
	for k, p := range probes {
		slices.Sort(times[k])
		median := times[k][len(times[k])/2]
		t.Logf("%s, %s: median %s of %d", what, p.name, median.Round(time.Microsecond), len(times[k]))
		if low == 0 || median < low {
			low = median
		}
		high = max(high, median)
	}
	apart := float64(high-low) / float64(low)
	t.Logf("%s: the medians are %s, %.1f %%, apart; %.0f %% or %s are allowed", what, high-low, 100*apart, 100*bound, jitter)
	return apart <= bound || high-low <= jitter
}

// TestTimeTellsNobodyWhoHasAnAccount measures calls for unknown, known, locked and unverified addresses.
func TestTimeTellsNobodyWhoHasAnAccount(t *testing.T) {
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			b := setup(t, kind, func(c *auth.Config) {
				c.BcryptCost, c.RequireVerifiedEmail, c.LettersPerHour = 10, true, 1000 // more than are sent
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
			alike(t, "login",
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
			alike(t, "register",
				probe{"free", register(func(int) string { free++; return fmt.Sprintf("free%d@example.com", free) })},
				probe{"known", register(is("known@example.com"))},
				probe{"unverified", register(is("unverified@example.com"))})
			for what, e := range map[string]subjects.Endpoint[subjects.EmailRequest, subjects.Accepted]{
				"forgot": subjects.RequestPasswordReset, "resend": subjects.ResendVerification,
			} {
				b.clock.forward(2 * time.Hour) // each address begins without letters of the last hour
				ask := func(email string) func(int) {
					return func(int) { must(b, e, subjects.EmailRequest{Email: email}, "") }
				}
				alike(t, what,
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
			alike(t, "login while locked",
				probe{"unknown", locked("unknown@example.com")}, probe{"known", locked("known@example.com")})
		})
	}
}

// TestALogoutReachesAnotherProcessFast measures from the sending of logout to the first refusal of the session's
// access token by the verifier of another connection, as every actor and gateway has one.
func TestALogoutReachesAnotherProcessFast(t *testing.T) {
	b := setup(t, actortest.Databases(t)[0])
	b.register("ada@example.com")
	elsewhere := b.verifier()
	for range tries {
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
