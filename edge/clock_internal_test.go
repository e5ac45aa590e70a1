package edge

import (
	"testing"
	"time"
)

// times is a box with a wall clock that can be set, and a monotonic one.
type times struct {
	wall time.Time
	mono time.Duration
}

func (c *times) pass(d time.Duration) { c.wall, c.mono = c.wall.Add(d), c.mono+d }

func (c *times) clock(grant Grant) *clock {
	return newClock(func() time.Time { return c.wall }, func() time.Duration { return c.mono }, grant)
}

// TestLeaseAndClock moves the clocks of an edge node.
func TestLeaseAndClock(t *testing.T) {
	t.Parallel()
	hub := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		// skew is the edge's clock less the hub's at the contact.
		skew time.Duration
		then func(c *times, k *clock) *clock
		now  time.Duration
		left time.Duration
	}{
		"at the contact": {then: func(_ *times, k *clock) *clock { return k }, left: time.Hour},
		"half an hour":   {then: func(c *times, k *clock) *clock { c.pass(30 * time.Minute); return k }, now: 30 * time.Minute, left: 30 * time.Minute},
		"24 hours":       {then: func(c *times, k *clock) *clock { c.pass(24 * time.Hour); return k }, now: 24 * time.Hour},
		"an hour fast":   {skew: time.Hour, then: func(c *times, k *clock) *clock { c.pass(time.Minute); return k }, now: time.Minute, left: 59 * time.Minute},
		"an hour slow":   {skew: -time.Hour, then: func(c *times, k *clock) *clock { c.pass(time.Minute); return k }, now: time.Minute, left: 59 * time.Minute},
		"set back": {then: func(c *times, k *clock) *clock {
			c.pass(50 * time.Minute)
			c.wall = c.wall.Add(-10 * time.Hour)
			return k
		}, now: 50 * time.Minute, left: 10 * time.Minute},
		"set forward": {then: func(c *times, k *clock) *clock { c.wall = c.wall.Add(2 * time.Hour); return k }, now: 2 * time.Hour},
		"forward and back": {then: func(c *times, k *clock) *clock {
			c.wall = c.wall.Add(2 * time.Hour)
			k.left()
			c.wall = c.wall.Add(-2 * time.Hour)
			return k
		}, now: 2 * time.Hour},
		"restart": {then: func(c *times, k *clock) *clock {
			c.pass(20 * time.Minute)
			grant := k.state()
			c.pass(10 * time.Minute)
			c.mono = 0
			return c.clock(grant)
		}, now: 30 * time.Minute, left: 30 * time.Minute},
		"restart with the clock set back": {then: func(c *times, k *clock) *clock {
			c.pass(50 * time.Minute)
			grant := k.state()
			c.wall, c.mono = hub.Add(-24*time.Hour), 0
			k = c.clock(grant)
			c.pass(5 * time.Minute)
			return k
		}, now: 55 * time.Minute, left: 5 * time.Minute},
		"restarts with the clock set back each time": {then: func(c *times, k *clock) *clock {
			for range 7 {
				c.pass(9 * time.Minute)
				grant := k.state()
				c.wall, c.mono = hub, 0
				k = c.clock(grant)
			}
			return k
		}, now: 63 * time.Minute},
		"another contact": {then: func(c *times, k *clock) *clock {
			c.wall = c.wall.Add(24 * time.Hour)
			k.left()
			c.wall = c.wall.Add(-24 * time.Hour)
			k.granted(hub.Add(time.Minute), c.wall, c.mono, time.Hour)
			return k
		}, now: time.Minute, left: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &times{wall: hub.Add(test.skew), mono: 7 * time.Hour}
			k := c.clock(Grant{})
			if k.left() != 0 || !k.now().Equal(c.wall) {
				t.Errorf("before the first contact %s are left at %s", k.left(), k.now())
			}
			k.granted(hub, c.wall, c.mono, time.Hour)
			if k.skew() != -test.skew {
				t.Errorf("the skew is %s, want %s", k.skew(), -test.skew)
			}
			k = test.then(c, k)
			if got := k.now().Sub(hub); got != test.now {
				t.Errorf("%s have passed, want %s", got, test.now)
			}
			if got := k.left(); got != test.left {
				t.Errorf("%s are left, want %s", got, test.left)
			}
		})
	}
}
