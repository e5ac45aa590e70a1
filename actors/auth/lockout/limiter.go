package lockout

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/password"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Limiter limits failed attempts by key. Its counts are in the bucket auth_attempts, so that all copies of the actor
// share them; the rule is Rule. An attempt must pass begin before its password or code is compared.
type Limiter struct {
	Bucket *kv.Bucket[AttemptRecord]
	rule   Rule
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

// Attempt is an admitted attempt. The caller ends it with settle or abandon; a nil attempt does nothing.
type Attempt struct {
	limiter *Limiter
	key, id string
	release func()
}

var (
	errBusy = errors.New("as many comparisons are in flight as failures are left")
	// ErrLocked means that a key has no failures left.
	ErrLocked = errors.New("locked")
)

// retryInterval is the time between two looks at a key whose comparisons are in flight in another process.
const retryInterval = 50 * time.Millisecond

// settleTimeout bounds settle and abandon, which outlive a cancelled request.
const settleTimeout = 5 * time.Second

// NewLimiter returns a limiter that applies rule to the attempts in bucket. macKey hashes the keys.
func NewLimiter(deps actors.Deps, bucket *kv.Bucket[AttemptRecord], rule Rule, macKey []byte) *Limiter {
	return &Limiter{
		Bucket: bucket, rule: rule, macKey: macKey, now: deps.Now, newID: deps.NewID, waiting: map[string]*waitQueue{},
	}
}

// Key returns the key of the bucket for parts that are no attempt's, such as a mark.
func (l *Limiter) Key(parts ...string) string { return HashedKey(l.macKey, parts...) }

// HashedKey encodes keyed hashes of the parts as a key of a bucket.
func HashedKey(macKey []byte, parts ...string) string {
	hashed := make([]string, len(parts))
	for i, part := range parts {
		hashed[i] = base64.RawURLEncoding.EncodeToString(seal.MAC(macKey, part)[:16])
	}
	return kv.EncodeKey(hashed...)
}

// Begin admits an attempt for an account from a source. If as many comparisons are in flight as failures are left, it
// waits for one of them to end, MaxWait at most. The error is CodeRateLimited, with the remaining time, if the key is
// locked or if the wait ends first.
func (l *Limiter) Begin(ctx context.Context, account, from string) (*Attempt, error) {
	a := &Attempt{limiter: l, key: HashedKey(l.macKey, account, from), id: l.newID()}
	var err error
	waiting, cancel := context.WithTimeout(ctx, password.MaxWait)
	defer cancel()
	if a.release, err = l.acquire(waiting, a.key); err != nil {
		return nil, err
	}
	var until time.Time
	for {
		_, err = l.Bucket.Mutate(ctx, a.key, func(old AttemptRecord, _ bool) (AttemptRecord, bool, error) {
			next, verdict := l.rule.Admit(old, a.id, l.now())
			until = next.LockedUntil
			switch verdict {
			case Locked:
				return old, false, ErrLocked
			case Busy:
				return old, false, errBusy
			}
			return next, true, nil
		}, l.rule.Duration+PendingTimeout)
		if !errors.Is(err, errBusy) && !errors.Is(err, kv.ErrConflict) {
			break
		}
		if e := wait.Sleep(waiting, retryInterval); e != nil {
			err = concurrentError(err)
			break
		}
	}
	if err == nil {
		return a, nil
	}
	a.release()
	if errors.Is(err, ErrLocked) {
		return nil, lockedError(until.Sub(l.now()))
	}
	return nil, err
}

// Forgive drops the failures of a key. Attempts in flight still count.
func (l *Limiter) Forgive(ctx context.Context, account, from string) error {
	_, err := l.Bucket.Mutate(ctx, HashedKey(l.macKey, account, from), func(old AttemptRecord, _ bool) (AttemptRecord, bool, error) {
		next := AttemptRecord{Pending: old.Pending}
		return next, !next.empty(), nil
	}, l.rule.Duration+PendingTimeout)
	return err
}

// Mark writes an entry without failures under a key.
func (l *Limiter) Mark(ctx context.Context, key string, ttl time.Duration) error {
	_, err := l.Bucket.PutTTL(ctx, key, AttemptRecord{}, ttl)
	return err
}

// lockedError tells the caller to retry when the lock ends.
func lockedError(left time.Duration) error {
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "too many failed sign-ins", RetryAfter: max(time.Second, left), Cause: ErrLocked,
	}
}

// concurrentError refuses an attempt that found no slot in time.
func concurrentError(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "too many sign-ins of this account at once", RetryAfter: subjects.RetrySoon, Cause: cause,
	}
}

// Settle ends the attempt as failed or successful. lockedNow reports whether this failure locked the key.
func (a *Attempt) Settle(ctx context.Context, failed bool) (lockedNow bool, err error) {
	if a == nil {
		return false, nil
	}
	return a.update(ctx, func(old AttemptRecord) AttemptRecord {
		return a.limiter.rule.Settle(old, a.id, failed, a.limiter.now())
	})
}

// Abandon ends the attempt without counting it.
func (a *Attempt) Abandon(ctx context.Context) error {
	if a == nil {
		return nil
	}
	_, err := a.update(ctx, func(old AttemptRecord) AttemptRecord { return a.limiter.rule.Abandon(old, a.id) })
	return err
}

func (a *Attempt) update(ctx context.Context, change func(AttemptRecord) AttemptRecord) (lockedNow bool, err error) {
	defer a.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_, err = a.limiter.Bucket.Mutate(ctx, a.key, func(old AttemptRecord, _ bool) (AttemptRecord, bool, error) {
		next := change(old)
		lockedNow = old.LockedUntil.IsZero() && !next.LockedUntil.IsZero()
		return next, !next.empty(), nil
	}, a.limiter.rule.Duration+PendingTimeout)
	return lockedNow, err
}

// acquire waits for one of the key's slots in this process. release returns it.
func (l *Limiter) acquire(ctx context.Context, key string) (release func(), err error) {
	l.mu.Lock()
	q := l.waiting[key]
	if q == nil {
		q = &waitQueue{slots: make(chan struct{}, l.rule.Limit)}
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
