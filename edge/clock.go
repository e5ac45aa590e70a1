package edge

import (
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// Grant is the lease of an edge node with the clocks at the contact that granted it.
type Grant struct {
	// Hub is the hub's clock at the contact, Wall the edge's.
	Hub  time.Time `json:"hub"`
	Wall time.Time `json:"wall"`
	// Lease is for how long the edge may act from then on.
	Lease time.Duration `json:"lease"`
	// High is the latest time that the edge's clock has shown since. A clock that was set back continues from there.
	High time.Time `json:"high"`
}

// clock tells the hub's time at an edge node, and what is left of its lease.
//
// Time passes since a contact as the edge's wall clock or its monotonic clock says, whichever says more. So a wall clock that is set back
// does not extend the lease, while one that is set forward only shortens it. What the clocks have shown is stored every few seconds, so
// that a restart with a clock set back continues from there. Only the time for which a box without power has no clock at all remains unknown.
type clock struct {
	wall func() time.Time
	// mono is the time since an arbitrary moment, by a clock that is never set.
	mono func() time.Duration

	mu    sync.Mutex
	grant Grant
	since time.Duration // what mono said when base was known
	base  time.Duration // the time that had passed since the contact then
}

func newClock(wall func() time.Time, mono func() time.Duration, grant Grant) *clock {
	c := &clock{wall: wall, mono: mono, grant: grant}
	c.since = mono()
	c.base = max(grant.High.Sub(grant.Wall), 0)
	return c
}

// granted records a lease. hub is the hub's clock at the moment at which the edge's showed wall, mono earlier the monotonic clock when the
// edge asked, from which on the lease counts.
func (c *clock) granted(hub, wall time.Time, asked time.Duration, lease time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall = wall.Round(0) // without Go's monotonic reading
	c.grant = Grant{Hub: hub.UTC(), Wall: wall.UTC(), Lease: lease, High: wall.UTC()}
	c.since, c.base = asked, 0
}

// passed is the time since the contact. The caller holds mu.
func (c *clock) passed() time.Duration {
	wall := c.wall().Round(0)
	passed := max(c.base+c.mono()-c.since, wall.Sub(c.grant.Wall))
	if high := c.grant.Wall.Add(passed); high.After(c.grant.High) {
		c.grant.High = high
	}
	return max(passed, c.grant.High.Sub(c.grant.Wall))
}

// now is the hub's time, as far as the edge knows it; the edge's own before the first contact.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grant.Hub.IsZero() {
		return c.wall()
	}
	return c.grant.Hub.Add(c.passed())
}

// left is what is left of the lease; 0 if it has expired.
func (c *clock) left() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grant.Hub.IsZero() {
		return 0
	}
	return max(c.grant.Lease-c.passed(), 0)
}

// state returns the grant to be stored.
func (c *clock) state() Grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.grant.Hub.IsZero() {
		c.passed()
	}
	return c.grant
}

// skew is the hub's clock less the edge's, as of the last contact.
func (c *clock) skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.grant.Hub.Sub(c.grant.Wall)
}

// errLeaseExpired refuses everything past the lease.
var errLeaseExpired = &subjects.Error{
	Code: subjects.CodeUnavailable, Reason: subjects.ReasonEdgeLeaseExpired, RetryAfter: 30 * time.Second,
	Detail: "this edge node has had no contact with its hub for longer than its lease",
}
