package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// limiter limits failed attempts by key. Its counts are in the bucket auth_attempts, so that all copies of the actor
// share them; the rule is lockout. An attempt must pass begin before its password or code is compared.
type limiter struct {
	bucket *kv.Bucket[attemptRecord]
	rule   lockout
	macKey []byte // hashes keys, so that the bucket reveals no address and no source
	now    func() time.Time
	newID  func() string

	mu      sync.Mutex
	waiting map[string]*waitQueue
}

// waitQueue bounds this process's attempts of one key to the limit of failures. The others wait for a slot.
type waitQueue struct {
	slots chan struct{}
	refs  int
}

// attempt is an admitted attempt. The caller ends it with settle or abandon; a nil attempt does nothing.
type attempt struct {
	limiter *limiter
	key, id string
	release func()
}

var (
	errBusy   = errors.New("as many comparisons are in flight as failures are left")
	errLocked = errors.New("locked")
)

// retryInterval is the time between two looks at a key whose comparisons are in flight in another process.
const retryInterval = 50 * time.Millisecond

// settleTimeout bounds settle and abandon, which outlive a cancelled request.
const settleTimeout = 5 * time.Second

func newLimiter(deps actors.Deps, bucket *kv.Bucket[attemptRecord], rule lockout, macKey []byte) *limiter {
	return &limiter{
		bucket: bucket, rule: rule, macKey: macKey, now: deps.Now, newID: deps.NewID, waiting: map[string]*waitQueue{},
	}
}

// hashedKey encodes keyed hashes of the parts as a key of a bucket.
func hashedKey(macKey []byte, parts ...string) string {
	hashed := make([]string, len(parts))
	for i, part := range parts {
		hashed[i] = base64.RawURLEncoding.EncodeToString(seal.MAC(macKey, part)[:16])
	}
	return kv.EncodeKey(hashed...)
}

// begin admits an attempt for an account from a source. If as many comparisons are in flight as failures are left, it
// waits for one of them to end, maxHashWait at most. The error is CodeRateLimited, with the remaining time, if the key is
// locked or if the wait ends first.
func (l *limiter) begin(ctx context.Context, account, from string) (*attempt, error) {
	a := &attempt{limiter: l, key: hashedKey(l.macKey, account, from), id: l.newID()}
	var err error
	waiting, cancel := context.WithTimeout(ctx, maxHashWait)
	defer cancel()
	if a.release, err = l.acquire(waiting, a.key); err != nil {
		return nil, err
	}
	var until time.Time
	for {
		_, err = l.bucket.Mutate(ctx, a.key, func(old attemptRecord, _ bool) (attemptRecord, bool, error) {
			next, verdict := l.rule.admit(old, a.id, l.now())
			until = next.LockedUntil
			switch verdict {
			case locked:
				return old, false, errLocked
			case busy:
				return old, false, errBusy
			}
			return next, true, nil
		}, l.rule.duration+pendingTimeout)
		if !errors.Is(err, errBusy) && !errors.Is(err, kv.ErrConflict) {
			break
		}
		if e := sleep(waiting, retryInterval); e != nil {
			err = concurrentError(err)
			break
		}
	}
	if err == nil {
		return a, nil
	}
	a.release()
	if errors.Is(err, errLocked) {
		return nil, lockedError(until.Sub(l.now()))
	}
	return nil, err
}

// forgive drops the failures of a key. Attempts in flight still count.
func (l *limiter) forgive(ctx context.Context, account, from string) error {
	_, err := l.bucket.Mutate(ctx, hashedKey(l.macKey, account, from), func(old attemptRecord, _ bool) (attemptRecord, bool, error) {
		next := attemptRecord{Pending: old.Pending}
		return next, !next.empty(), nil
	}, l.rule.duration+pendingTimeout)
	return err
}

// mark writes an entry without failures under a key.
func (l *limiter) mark(ctx context.Context, key string, ttl time.Duration) error {
	_, err := l.bucket.PutTTL(ctx, key, attemptRecord{}, ttl)
	return err
}

// lockedError tells the caller to retry when the lock ends.
func lockedError(left time.Duration) error {
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "too many failed sign-ins", RetryAfter: max(time.Second, left), Cause: errLocked,
	}
}

// concurrentError refuses an attempt that found no slot in time.
func concurrentError(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "too many sign-ins of this account at once", RetryAfter: subjects.RetrySoon, Cause: cause,
	}
}

// settle ends the attempt as failed or successful. lockedNow reports whether this failure locked the key.
func (a *attempt) settle(ctx context.Context, failed bool) (lockedNow bool, err error) {
	if a == nil {
		return false, nil
	}
	return a.update(ctx, func(old attemptRecord) attemptRecord {
		return a.limiter.rule.settle(old, a.id, failed, a.limiter.now())
	})
}

// abandon ends the attempt without counting it.
func (a *attempt) abandon(ctx context.Context) error {
	if a == nil {
		return nil
	}
	_, err := a.update(ctx, func(old attemptRecord) attemptRecord { return a.limiter.rule.abandon(old, a.id) })
	return err
}

func (a *attempt) update(ctx context.Context, change func(attemptRecord) attemptRecord) (lockedNow bool, err error) {
	defer a.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_, err = a.limiter.bucket.Mutate(ctx, a.key, func(old attemptRecord, _ bool) (attemptRecord, bool, error) {
		next := change(old)
		lockedNow = old.LockedUntil.IsZero() && !next.LockedUntil.IsZero()
		return next, !next.empty(), nil
	}, a.limiter.rule.duration+pendingTimeout)
	return lockedNow, err
}

// acquire waits for one of the key's slots in this process. release returns it.
func (l *limiter) acquire(ctx context.Context, key string) (release func(), err error) {
	l.mu.Lock()
	q := l.waiting[key]
	if q == nil {
		q = &waitQueue{slots: make(chan struct{}, l.rule.limit)}
		l.waiting[key] = q
	}
	q.refs++
	l.mu.Unlock()
	unref := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if q.refs--; q.refs == 0 {
			delete(l.waiting, key)
		}
	}
	select {
	case q.slots <- struct{}{}:
		return func() { <-q.slots; unref() }, nil
	case <-ctx.Done():
		unref()
		return nil, concurrentError(ctx.Err())
	}
}

// sleep waits for d, or returns the error of ctx if it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// repeat calls f at once and then once per interval until ctx ends. It returns the first error of f, or nil if ctx has
// ended.
func repeat(ctx context.Context, interval time.Duration, f func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
