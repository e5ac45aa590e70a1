package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// gate counts failed logins by address and source, in the bucket auth_attempts and so for every copy of the
// actor. The rule is lockout's; an attempt passes begin before its password is compared.
type gate struct {
	bucket *kv.Bucket[attempts]
	rule   lockout
	index  []byte // keys the hash of addresses and sources, so that the bucket names neither
	now    func() time.Time
	newID  func() string

	mu    sync.Mutex
	queue map[string]*line
}

// line holds back what this process would try of one key while the bucket could not admit it.
type line struct {
	places chan struct{}
	users  int
}

// attempt is one login between begin and its end.
type attempt struct {
	gate    *gate
	key, id string
	leave   func()
}

var (
	errBusy   = errors.New("as many comparisons are under way as failures are left")
	errLocked = errors.New("locked")
)

// busyPause is the wait before a key is looked at again whose comparisons run in another process.
const busyPause = 50 * time.Millisecond

// settleFor bounds what an attempt's end may take when its caller has gone.
const settleFor = 5 * time.Second

// key hashes what is counted by.
func (g *gate) key(parts ...string) string {
	hashed := make([]string, len(parts))
	for i, part := range parts {
		hashed[i] = base64.RawURLEncoding.EncodeToString(mac(g.index, part)[:16])
	}
	return kv.EncodeKey(hashed...)
}

// begin admits an attempt, after waiting for those under way where that many failures are left no more. The
// error is CodeRateLimited with the time left while the address is locked for this source.
func (g *gate) begin(ctx context.Context, account, from string) (*attempt, error) {
	a := &attempt{gate: g, key: g.key(account, from), id: g.newID()}
	var err error
	if a.leave, err = g.enter(ctx, a.key); err != nil {
		return nil, err
	}
	var until time.Time
	for {
		_, err = g.bucket.Mutate(ctx, a.key, func(old attempts, _ bool) (attempts, bool, error) {
			next, verdict := g.rule.admit(old, a.id, g.now())
			until = next.LockedUntil
			switch verdict {
			case locked:
				return old, false, errLocked
			case busy:
				return old, false, errBusy
			}
			return next, true, nil
		}, g.rule.length+pendingFor)
		if !errors.Is(err, errBusy) && !errors.Is(err, kv.ErrConflict) {
			break
		}
		if e := pause(ctx, busyPause); e != nil {
			err = &subjects.Error{
				Code: subjects.CodeRateLimited, Detail: "too many sign-ins of this account at once", RetryAfter: time.Second, Cause: err,
			}
			break
		}
	}
	if err == nil {
		return a, nil
	}
	a.leave()
	if errors.Is(err, errLocked) {
		return nil, lockedError(until.Sub(g.now()))
	}
	return nil, err
}

// lockedError tells how long the lock holds.
func lockedError(left time.Duration) error {
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "too many failed sign-ins", RetryAfter: max(time.Second, left), Cause: errLocked,
	}
}

// end settles the attempt; nil is none. lockedNow tells that this failure was the last one allowed.
func (a *attempt) end(ctx context.Context, failed bool) (lockedNow bool, err error) {
	if a == nil {
		return false, nil
	}
	return a.finish(ctx, func(old attempts) attempts { return a.gate.rule.settle(old, a.id, failed, a.gate.now()) })
}

// abandon takes the attempt back, as if it had not been; nil is none.
func (a *attempt) abandon(ctx context.Context) error {
	if a == nil {
		return nil
	}
	_, err := a.finish(ctx, func(old attempts) attempts { return a.gate.rule.abandon(old, a.id) })
	return err
}

func (a *attempt) finish(ctx context.Context, change func(attempts) attempts) (lockedNow bool, err error) {
	defer a.leave()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
	defer cancel()
	_, err = a.gate.bucket.Mutate(ctx, a.key, func(old attempts, _ bool) (attempts, bool, error) {
		next := change(old)
		lockedNow = old.LockedUntil.IsZero() && !next.LockedUntil.IsZero()
		return next, !next.empty(), nil
	}, a.gate.rule.length+pendingFor)
	return lockedNow, err
}

// enter waits for one of the key's places in this process; leave gives it back.
func (g *gate) enter(ctx context.Context, key string) (leave func(), err error) {
	g.mu.Lock()
	l := g.queue[key]
	if l == nil {
		l = &line{places: make(chan struct{}, g.rule.failures)}
		g.queue[key] = l
	}
	l.users++
	g.mu.Unlock()
	forget := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(g.queue, key)
		}
	}
	select {
	case l.places <- struct{}{}:
		return func() { <-l.places; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, &subjects.Error{
			Code: subjects.CodeRateLimited, Detail: "too many sign-ins of this account at once", RetryAfter: time.Second, Cause: ctx.Err(),
		}
	}
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
