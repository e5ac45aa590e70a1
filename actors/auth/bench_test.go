package auth_test

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// BenchmarkLogins reports the logins per second beside bcrypt alone at the same cost on the same processors, and the
// latency of a profile and of a token's validation while 200 logins are in flight. Refused logins are retried after
// Retry-After.
func BenchmarkLogins(b *testing.B) {
	const inFlight, accounts = 200, 20
	bench := setup(b, actortest.Databases(b)[0], func(c *auth.Config) { c.BcryptCost, c.HashQueue = 12, 16 })
	addresses := make([]string, accounts)
	for i := range addresses {
		addresses[i] = "user" + strconv.Itoa(i) + "@example.com"
		bench.register(addresses[i])
	}
	token := bench.login(addresses[0]).AccessToken
	hash, err := bcrypt.GenerateFromPassword([]byte(goodPassword), 12)
	if err != nil {
		b.Fatal(err)
	}
	rounds := max(8, b.N)
	b.ResetTimer()
	start := time.Now()
	workers(runtime.NumCPU(), rounds, func(int) {
		if err := bcrypt.CompareHashAndPassword(hash, []byte(goodPassword)); err != nil {
			b.Error(err)
		}
	})
	bare := float64(rounds) / time.Since(start).Seconds()
	waits := newProbes(bench, token)
	start = time.Now()
	var logins, refusals atomic.Int64
	workers(inFlight, inFlight, func(i int) {
		for logins.Load() < int64(rounds) {
			err := bench.loginFrom("203.0.113."+strconv.Itoa(i), addresses[i%accounts], goodPassword)
			if err == nil {
				logins.Add(1)
				continue
			}
			var e *subjects.Error
			// On a busy machine, a hash may take longer than its login's deadline.
			if !errors.As(err, &e) || e.Code != subjects.CodeRateLimited && e.Code != subjects.CodeTimeout {
				b.Error(err)
				return
			}
			refusals.Add(1)
			<-time.After(e.RetryAfter)
		}
	})
	rate := float64(logins.Load()) / time.Since(start).Seconds()
	b.StopTimer()
	b.ReportMetric(rate, "logins/s")
	b.ReportMetric(rate/bare, "of-bare-bcrypt")
	for name, p99 := range waits.end() {
		b.ReportMetric(float64(p99.Microseconds())/1000, name+"-p99-ms")
	}
	b.ReportMetric(float64(refusals.Load()), "refusals")
	b.ReportMetric(0, "ns/op")
}

// probes call endpoints that must not wait for logins, about fifty times a second each, which takes little processor
// time.
type probes struct {
	stop    chan struct{}
	probing sync.WaitGroup
	waits   map[string]*[]time.Duration
}

func newProbes(b *harness, token string) *probes {
	p := &probes{stop: make(chan struct{}), waits: map[string]*[]time.Duration{}}
	p.every(b, "profile", func() error {
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, token)
		return err
	})
	p.every(b, "validate-token", func() error {
		_, err := call(b, subjects.ValidateToken, subjects.ValidateTokenRequest{Token: token}, "")
		return err
	})
	return p
}

func (p *probes) every(b *harness, name string, probe func() error) {
	waits := new([]time.Duration)
	p.waits[name] = waits
	p.probing.Go(func() {
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			at := time.Now()
			if err := probe(); err != nil {
				b.t.Error(err)
			}
			*waits = append(*waits, time.Since(at))
		}
	})
}

// end stops the probes and returns their 99th percentiles.
func (p *probes) end() map[string]time.Duration {
	close(p.stop)
	p.probing.Wait()
	p99 := map[string]time.Duration{}
	for name, waits := range p.waits {
		slices.Sort(*waits)
		p99[name] = (*waits)[len(*waits)*99/100]
	}
	return p99
}

// BenchmarkTokenCheck measures the verification of access tokens, cached and uncached.
func BenchmarkTokenCheck(b *testing.B) {
	const tokens = 10_000
	bench := setup(b, actortest.Databases(b)[0])
	session := bench.signUp("ada@example.com")
	b.Run("warm", func(b *testing.B) {
		v := bench.verifier()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), session.AccessToken); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		v := bench.verifier()
		claims, err := v.Verify(b.Context(), session.AccessToken)
		if err != nil {
			b.Fatal(err)
		}
		made := make([]string, tokens)
		for i := range made {
			claims.ID = strconv.Itoa(i)
			if made[i], err = bench.latest.SignWithCurrentKey(claims); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i > 0 && i%tokens == 0 {
				b.StopTimer()
				v = bench.verifier() // with an empty cache
				b.StartTimer()
			}
			if _, err := v.Verify(b.Context(), made[i%tokens]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// workers runs f the given number of times in total, on n goroutines.
func workers(n, times int, f func(i int)) {
	var next atomic.Int64
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			for i := next.Add(1); i <= int64(times); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	done.Wait()
}
