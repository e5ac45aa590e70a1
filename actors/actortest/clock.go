package actortest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that a test sets ahead, for WithClock. Its zero value shows the present time.
type Clock struct{ ahead atomic.Int64 }

// Now returns the clock's time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance sets the clock ahead by d.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
