package auth_test

import (
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

// BenchmarkLogins reports logins a second beside bare bcrypt at the same cost on the same cores, one
// after the other, and how long a profile takes while 200 logins are in flight; what the pool refuses tries again.
func BenchmarkLogins(b *testing.B) {
	const inFlight = 200
	bench := setup(b, actortest.Databases(b)[0], func(c *auth.Config) { c.BcryptCost, c.HashQueue = 12, 16 })
	token := bench.signedUp("ada@example.com").AccessToken
	hash, err := bcrypt.GenerateFromPassword([]byte(goodPassword), 12)
	if err != nil {
		b.Fatal(err)
	}
	var bare, logins time.Duration
	var waits []time.Duration
	rounds := max(8, b.N)
	b.ResetTimer()
	start := time.Now()
	workers(runtime.GOMAXPROCS(0), rounds, func(int) {
		if err := bcrypt.CompareHashAndPassword(hash, []byte(goodPassword)); err != nil {
			b.Error(err)
		}
	})
	bare = time.Since(start)
	stop := make(chan struct{})
	var probing sync.WaitGroup
	probing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			at := time.Now()
			if _, err := call(bench, subjects.GetUserProfile, subjects.Empty{}, token); err != nil {
				b.Error(err)
			}
			waits = append(waits, time.Since(at))
		}
	})
	start = time.Now()
	var refusals atomic.Int64
	workers(inFlight, rounds, func(i int) {
		for {
			err := bench.from("203.0.113."+strconv.Itoa(i%250), "ada@example.com", goodPassword)
			if err == nil {
				return
			}
			// On a machine that does other work besides, a hash may outlast its login's deadline.
			if code := subjects.CodeOf(err); code != subjects.CodeRateLimited && code != subjects.CodeTimeout {
				b.Error(err)
				return
			}
			refusals.Add(1)
			<-time.After(100 * time.Millisecond)
		}
	})
	logins = time.Since(start)
	close(stop)
	probing.Wait()
	b.StopTimer()
	slices.Sort(waits)
	b.ReportMetric(float64(rounds)/logins.Seconds(), "logins/s")
	b.ReportMetric(bare.Seconds()/logins.Seconds(), "of-bare-bcrypt")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "profile-p99-ms")
	b.ReportMetric(float64(refusals.Load()), "refusals")
	b.ReportMetric(0, "ns/op")
}

// workers runs f so many times in all on so many goroutines.
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
