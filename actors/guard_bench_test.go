package actors_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
)

// cpuTime is the processor time of this process. Other load on the machine affects it least.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkGuardCheck measures the check of a consent whose state the guard has cached: what a start costs before it acts.
func BenchmarkGuardCheck(b *testing.B) {
	m := actortest.Start(b, actortest.Quiet())
	guard, _ := newGuard(b, m, "integration")
	user := actortest.User()
	grant := m.Consent(b, user, scope)[scope]
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		before := cpuTime(b)
		defer func() { b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu_ns/op") }()
		for b.Loop() {
			if err := guard.CheckGrant(b.Context(), grant); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("start", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := guard.Do(b.Context(), grant, scope, act); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRevocation measures what a revocation adds to its record: the state is written and two processes acknowledge it.
func BenchmarkRevocation(b *testing.B) {
	m := actortest.Start(b, actortest.Quiet())
	for _, name := range []string{"integration", "workflow"} {
		guard, _ := newGuard(b, m, name)
		if err := guard.Do(b.Context(), mesh.Grant{UserID: "u"}, scope, act); err == nil {
			b.Fatal("permitted without a consent")
		}
	}
	user := actortest.User()
	var took []time.Duration
	for b.Loop() {
		m.Consent(b, user, scope)
		began := time.Now()
		m.Revoke(b, user, scope)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50_µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99_µs")
}
