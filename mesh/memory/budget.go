package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

const (
	// shareOf is the part of a budget that one owner may hold: a quarter.
	shareOf = 4
	// maxWaiting bounds the reservations that wait for memory. Each keeps a connection and a goroutine.
	maxWaiting = 1024
	// DefaultWait is how long a reservation waits for memory.
	DefaultWait = 2 * time.Second
	// retryAfter is when a refused request makes sense again.
	retryAfter = 2 * time.Second
)

// Budget bounds the bytes that requests hold together. An owner, which is a user or a client address, may hold a quarter of it; one
// that holds nothing may hold any amount that is free, and so may the owner "", which stands for callers that are not known.
// Reservations are granted in their order, except that one whose owner has its share lets others pass. It is safe for concurrent use.
type Budget struct {
	name        string
	size, share int64
	wait        time.Duration

	mu      sync.Mutex
	used    int64
	by      map[string]int64
	waiting []*waiter
	refused func(reason string)
}

// waiter is a reservation that waits to grow by n.
type waiter struct {
	r     *Reservation
	n     int64
	ready chan struct{}
}

// NewBudget returns a budget of size bytes. name says what it is for in errors, such as "request bodies (gateway.body_budget)". A
// reservation waits as long as wait; 0 means not at all. refused is called for each refusal, with "share" or "full"; it may be nil.
func NewBudget(name string, size int64, wait time.Duration, refused func(reason string)) *Budget {
	if refused == nil {
		refused = func(string) {}
	}
	return &Budget{name: name, size: max(size, 1), share: max(size/shareOf, 1), wait: wait, by: map[string]int64{}, refused: refused}
}

// Size is the budget in bytes, Used how much of it is reserved.
func (b *Budget) Size() int64 { return b.size }

// Used is how many bytes are reserved.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Reservation is what one request holds of a budget. It is not safe for concurrent use. Release it exactly once, also after an error.
type Reservation struct {
	b     *Budget
	owner string
	n     int64
}

// Reserve returns an empty reservation of an owner. Grow takes the bytes.
func (b *Budget) Reserve(owner string) Reservation { return Reservation{b: b, owner: owner} }

// Grow makes the reservation hold n bytes at least; more than the whole budget counts as all of it. If they are not free it waits, until ctx
// ends at the latest. The error is CodeRateLimited with ReasonMemoryShare if the owner has its share, else CodeUnavailable with
// ReasonOverloaded; the reservation is then unchanged.
func (r *Reservation) Grow(ctx context.Context, n int64) error {
	b := r.b
	b.mu.Lock()
	more := min(n, b.size) - r.n
	switch {
	case more <= 0:
		b.mu.Unlock()
		return nil
	case b.fits(r, more) && !b.behind(r):
		b.take(r, more)
		b.mu.Unlock()
		return nil
	case b.wait <= 0 || len(b.waiting) >= maxWaiting:
		err := b.refuse(r, more)
		b.mu.Unlock()
		return err
	}
	w := &waiter{r: r, n: more, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	return b.await(ctx, w)
}

func (b *Budget) await(ctx context.Context, w *waiter) error {
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	b.waiting = slices.DeleteFunc(b.waiting, func(other *waiter) bool { return other == w })
	err := b.refuse(w.r, w.n)
	b.grant() // it may have been ahead of smaller ones
	return err
}

// Shrink gives back all but n bytes.
func (r *Reservation) Shrink(n int64) {
	if r.n <= n {
		return
	}
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.take(r, n-r.n)
	b.grant()
}

// Release gives all bytes back.
func (r *Reservation) Release() { r.Shrink(0) }

// ownShare reports whether the owner may hold more bytes: within its share, or in this reservation alone.
func (b *Budget) ownShare(r *Reservation, more int64) bool {
	held := b.by[r.owner]
	return r.owner == "" || held == r.n || held+more <= b.share
}

func (b *Budget) fits(r *Reservation, more int64) bool {
	return b.used+more <= b.size && b.ownShare(r, more)
}

// behind reports whether a reservation that waits already must be served first: one that only lacks free bytes.
func (b *Budget) behind(r *Reservation) bool {
	if r.n > 0 {
		return false // it ends the sooner for it
	}
	for _, w := range b.waiting {
		if b.ownShare(w.r, w.n) {
			return true
		}
	}
	return false
}

// take moves bytes, which are negative if they are given back, to a reservation.
func (b *Budget) take(r *Reservation, more int64) {
	r.n += more
	b.used += more
	if b.by[r.owner] += more; b.by[r.owner] <= 0 {
		delete(b.by, r.owner)
	}
}

// grant serves the reservations that wait, in their order. One whose owner has its share lets the others pass; one that lacks free bytes
// does not, so that it does not wait for ever.
func (b *Budget) grant() {
	kept := b.waiting[:0]
	full := false
	for _, w := range b.waiting {
		switch {
		case !full && b.fits(w.r, w.n):
			b.take(w.r, w.n)
			close(w.ready)
			continue
		case b.ownShare(w.r, w.n):
			full = true
		}
		kept = append(kept, w)
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
}

// refuse returns the error for a reservation that cannot grow.
func (b *Budget) refuse(r *Reservation, more int64) error {
	if !b.ownShare(r, more) {
		b.refused("share")
		return &subjects.Error{
			Code: subjects.CodeRateLimited, Reason: subjects.ReasonMemoryShare, RetryAfter: retryAfter,
			Detail: fmt.Sprintf("your own requests hold all that one caller may hold of the memory for %s, which is %d bytes", b.name, b.share),
		}
	}
	b.refused("full")
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, RetryAfter: retryAfter,
		Detail: fmt.Sprintf("the memory for %s is in use, which is %d bytes", b.name, b.size),
	}
}
