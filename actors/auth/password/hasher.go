package password

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/text/unicode/norm"

	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

// hashVersion is the prefix of every stored hash: w1$<pepper id>$<bcrypt>, where the input of bcrypt is
// base64(HMAC-SHA-256(pepper, password)). The HMAC removes bcrypt's limit of 72 bytes.
const hashVersion = "w1"

// Hasher computes and compares hashes in a pool of fixed size, so that other calls do not wait for bcrypt. It
// refuses calls that exceed its queue.
type Hasher struct {
	peppers      map[string][]byte
	pepper       string // the ID of the pepper for new hashes
	cost         int
	decoy        func() (string, error) // returns a hash of a random password, for addresses without an account
	workers      chan struct{}
	waiting      atomic.Int64
	maxQueued    int64
	meanDuration atomic.Int64 // nanoseconds of a hash, a moving average
	Hashes       atomic.Int64 // hashes computed or compared, for the metric
}

// NewHasher returns a hasher with a number of workers and of calls that may wait for each of them. cost is bcrypt's. The first
// pepper is used for new hashes, the others only verify.
func NewHasher(workers, queue, cost int, peppers ...[]byte) *Hasher {
	raiseGOMAXPROCS(workers)
	p := &Hasher{
		peppers: map[string][]byte{}, pepper: pepperID(peppers[0]), cost: cost,
		workers: make(chan struct{}, workers), maxQueued: int64(workers * (1 + queue)),
	}
	for _, pepper := range peppers {
		p.peppers[pepperID(pepper)] = pepper
	}
	// Computed in the background, because it would prolong the start by a third.
	p.decoy = sync.OnceValues(func() (string, error) {
		start := time.Now()
		defer func() { p.observe(time.Since(start)) }()
		return p.compute(rand.Text())
	})
	go func() { _, _ = p.decoy() }() // verify returns its error
	return p
}

// Processors is Go's default of GOMAXPROCS.
var Processors = runtime.GOMAXPROCS(0)

// raiseGOMAXPROCS adds one to GOMAXPROCS for each concurrent hash. A hash does not yield: while all processors compute
// hashes, a goroutine that becomes runnable waits about 10 ms for preemption by Go's scheduler, at each step of a
// request. With more threads, the kernel shares the processors at a finer grain. A GOMAXPROCS set by the operator is
// kept.
func raiseGOMAXPROCS(hashes int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), Processors+hashes))
	}
}

func pepperID(pepper []byte) string {
	return hex.EncodeToString(seal.MAC(pepper, "weft pepper id"))[:8]
}

// Hash returns the hash to store. The error is CodeRateLimited if the pool is full.
func (p *Hasher) Hash(ctx context.Context, password string) (hash string, err error) {
	if e := p.run(ctx, func() { hash, err = p.compute(password) }); e != nil {
		return "", e
	}
	return hash, err
}

// Verify compares a password with a stored hash. An empty hash is compared with the decoy, which takes the same time,
// and never matches. stale reports whether the hash should be replaced. The error is CodeRateLimited if the pool is
// full.
func (p *Hasher) Verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	real := hash != ""
	if !real {
		if hash, err = p.decoy(); err != nil {
			return false, false, err
		}
	}
	if e := p.run(ctx, func() { ok, stale, err = p.compare(hash, password) }); e != nil {
		return false, false, e
	}
	return ok && real, stale && real, err
}

// MaxWait bounds how long a call takes with the limiters before its hash, the queue and the hash, as far as the mean duration
// of a hash predicts. A call that would take longer is refused at once. It leaves half a second of the two that a caller should
// wait at most.
const MaxWait = 1500 * time.Millisecond

// hashTicket is a call's place in the queue of the pool, in its context.
type hashTicket struct{ until time.Time }

type hashTicketKey struct{}

// Admit takes a place in the pool's queue for the hashes of a call, which done gives back. The error is CodeRateLimited if the
// queue is full, or if its calls would take more than MaxWait by the mean duration of a hash.
func (p *Hasher) Admit(ctx context.Context) (_ context.Context, done func(), err error) {
	if _, ok := ctx.Value(hashTicketKey{}).(hashTicket); ok {
		return ctx, func() {}, nil
	}
	n := p.waiting.Add(1)
	rounds := (n + int64(cap(p.workers)) - 1) / int64(cap(p.workers))
	if n > p.maxQueued || time.Duration(rounds*p.meanDuration.Load()) > MaxWait && n > int64(cap(p.workers)) {
		p.waiting.Add(-1)
		return ctx, nil, p.overloaded(nil)
	}
	ctx = context.WithValue(ctx, hashTicketKey{}, hashTicket{until: time.Now().Add(MaxWait)})
	return ctx, func() { p.waiting.Add(-1) }, nil
}

// run runs f on a worker of the pool.
func (p *Hasher) run(ctx context.Context, f func()) error {
	ctx, done, err := p.Admit(ctx)
	if err != nil {
		return err
	}
	defer done()
	ticket, _ := ctx.Value(hashTicketKey{}).(hashTicket)
	waiting, cancel := context.WithDeadline(ctx, ticket.until.Add(-time.Duration(p.meanDuration.Load())))
	defer cancel()
	select {
	case p.workers <- struct{}{}: // also if a single hash takes longer than MaxWait
	default:
		select {
		case p.workers <- struct{}{}:
		case <-waiting.Done():
			return p.overloaded(waiting.Err())
		}
	}
	defer func() { <-p.workers }()
	start := time.Now()
	// Refuse a call whose deadline would pass before the hash is computed.
	if end, ok := ctx.Deadline(); ok && end.Sub(start) < time.Duration(p.meanDuration.Load()) {
		return p.overloaded(context.DeadlineExceeded)
	}
	p.Hashes.Add(1)
	f()
	p.observe(time.Since(start))
	return nil
}

// observe adds a duration to the moving average.
func (p *Hasher) observe(took time.Duration) {
	if mean := p.meanDuration.Load(); mean > 0 {
		took = (3*time.Duration(mean) + took) / 4
	}
	p.meanDuration.Store(int64(took))
}

// overloaded returns CodeRateLimited with the time in which the present queue is processed.
func (p *Hasher) overloaded(cause error) error {
	wait := float64(p.meanDuration.Load()) * float64(p.waiting.Load()) / float64(cap(p.workers))
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "overloaded: too many sign-ins",
		RetryAfter: max(time.Second, time.Duration(math.Ceil(wait))), Cause: cause,
	}
}

func (p *Hasher) compute(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword(p.peppered(p.pepper, password), p.cost)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hashVersion + "$" + p.pepper + "$" + string(hash), nil
}

func (p *Hasher) compare(stored, password string) (ok, stale bool, err error) {
	version, rest, _ := strings.Cut(stored, "$")
	id, hash, _ := strings.Cut(rest, "$")
	if version != hashVersion || p.peppers[id] == nil {
		return false, false, fmt.Errorf("comparing a password: no key for a hash of version %s, pepper %s", version, id)
	}
	err = bcrypt.CompareHashAndPassword([]byte(hash), p.peppered(id, password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("comparing a password: %w", err)
	}
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil, id != p.pepper || cost != p.cost, err
}

// peppered returns the input of bcrypt. The password is normalised, because keyboards type the same character as different code
// points (NIST SP 800-63B §3.1.1.2). NFC rather than NFKC is used, so that no characters that look different become the same.
func (p *Hasher) peppered(id, password string) []byte {
	return base64.StdEncoding.AppendEncode(nil, seal.MAC(p.peppers[id], norm.NFC.String(password)))
}
