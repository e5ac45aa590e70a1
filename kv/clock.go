package kv

import (
	"sync/atomic"
	"time"
)

// serverClock is a lower bound of the server's time.
type serverClock struct {
	sample atomic.Pointer[clockSample]
}

// clockSample says that at the local time local the server's clock showed at least server. machine is time.Now() then.
type clockSample struct {
	server         int64
	local, machine time.Time
}

// drift is the assumed maximum rate error of a local clock, in thousandths: twice the maximum slew rate of NTP.
const drift = 1

// learn stores a sample: the server's time, received at the local time.
func (s *serverClock) learn(server, local time.Time) {
	s.sample.Store(&clockSample{server: server.UnixNano(), local: local, machine: time.Now()})
}

// earliest returns the earliest time that the server's clock can show at now, in nanoseconds since 1970.
func (s *serverClock) earliest(now time.Time) int64 {
	sample := s.sample.Load()
	passed := now.Sub(sample.local)
	return sample.server + int64(passed-passed/1000*drift)
}

// stale reports whether the sample is so old that drift matters.
func (s *serverClock) stale(now time.Time) bool { return s.older(now, 30*time.Second) }

// older reports whether the sample is older than a duration.
func (s *serverClock) older(now time.Time, than time.Duration) bool {
	return elapsed(now, s.sample.Load().local) > than
}

// maxJump is by how much the clocks of a machine may differ in what time has passed since a sample.
const maxJump = 50 * time.Millisecond

// jumped reports whether more time has passed since the sample than the clock that carries it forward has counted: the machine
// slept, during which monotonic clocks stop. A new sample is needed then.
func (s *serverClock) jumped(now time.Time) bool {
	sample := s.sample.Load()
	passed := elapsed(time.Now(), sample.machine)
	return passed-now.Sub(sample.local) > maxJump+passed/1000*2*drift
}
