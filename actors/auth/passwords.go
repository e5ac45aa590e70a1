package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
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

	"github.com/weftmesh/weft/subjects"
)

// hashVersion begins every stored hash: w1$<pepper id>$<bcrypt>, where bcrypt's input is
// base64(HMAC-SHA-256(pepper, password)). The HMAC takes away bcrypt's bound of 72 bytes.
const hashVersion = "w1"

// passwords hashes and compares in a pool of its own size, so that nothing else waits for bcrypt. What the
// pool cannot take is refused at once.
type passwords struct {
	peppers map[string][]byte
	pepper  string // the id of the one that new hashes use
	cost    int
	decoy   func() (string, error) // the hash of no password, for addresses without an account
	workers chan struct{}
	waiting atomic.Int64
	most    int64
	took    atomic.Int64 // nanoseconds of a late hash, for Retry-After
	done    atomic.Int64 // hashes computed and compared, for the metric
}

// newPasswords takes the peppers, the one for new hashes first.
func newPasswords(c Config, peppers ...[]byte) *passwords {
	workers := c.hashWorkers()
	makeRoom(workers)
	p := &passwords{
		peppers: map[string][]byte{}, pepper: pepperID(peppers[0]), cost: c.BcryptCost,
		workers: make(chan struct{}, workers), most: int64(workers * (1 + c.HashQueue)),
	}
	for _, pepper := range peppers {
		p.peppers[pepperID(pepper)] = pepper
	}
	// Made beside the start, which it would take a third of.
	p.decoy = sync.OnceValues(func() (string, error) {
		start := time.Now()
		defer func() { p.took.Store(int64(time.Since(start))) }()
		return p.compute(rand.Text())
	})
	go func() { _, _ = p.decoy() }() // who needs it gets its error
	return p
}

// processors is how many goroutines Go runs at once by itself.
var processors = runtime.GOMAXPROCS(0)

// makeRoom has Go run so many goroutines more at once as hash, which never pause: otherwise whoever wakes while all
// processors hash waits until Go's scheduler takes one away, ten milliseconds at each step of a request. Sharing the
// processors is then the kernel's, which does it in a fraction of that. An operator's own GOMAXPROCS stays.
func makeRoom(hashes int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), processors+hashes))
	}
}

func pepperID(pepper []byte) string {
	return hex.EncodeToString(mac(pepper, "weft pepper id"))[:8]
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// hash makes the hash to store. The error is CodeRateLimited where the pool is full.
func (p *passwords) hash(ctx context.Context, password string) (hash string, err error) {
	if e := p.inPool(ctx, func() { hash, err = p.compute(password) }); e != nil {
		return "", e
	}
	return hash, err
}

// verify compares a password with a stored hash; an empty one compares with the decoy, takes as long and is
// false. stale tells that the hash should be made anew. The error is CodeRateLimited where the pool is full.
func (p *passwords) verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	real := hash != ""
	if !real {
		if hash, err = p.decoy(); err != nil {
			return false, false, err
		}
	}
	if e := p.inPool(ctx, func() { ok, stale, err = p.compare(hash, password) }); e != nil {
		return false, false, e
	}
	return ok && real, stale && real, err
}

// inPool runs f on one of the pool's places, or refuses.
func (p *passwords) inPool(ctx context.Context, f func()) error {
	if p.waiting.Add(1) > p.most {
		p.waiting.Add(-1)
		return p.full(nil)
	}
	defer p.waiting.Add(-1)
	select {
	case p.workers <- struct{}{}:
	case <-ctx.Done():
		return p.full(ctx.Err())
	}
	defer func() { <-p.workers }()
	start := time.Now()
	// Whose time would end before the hash does is not worth one.
	if end, ok := ctx.Deadline(); ok && end.Sub(start) < time.Duration(p.took.Load()) {
		return p.full(context.DeadlineExceeded)
	}
	p.done.Add(1)
	f()
	p.took.Store(int64(time.Since(start)))
	return nil
}

// full tells when the queue of now will have been worked off.
func (p *passwords) full(cause error) error {
	wait := float64(p.took.Load()) * float64(p.most) / float64(cap(p.workers))
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "too many sign-ins at this moment",
		RetryAfter: max(time.Second, time.Duration(math.Ceil(wait))), Cause: cause,
	}
}

func (p *passwords) compute(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword(p.peppered(p.pepper, password), p.cost)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hashVersion + "$" + p.pepper + "$" + string(hash), nil
}

func (p *passwords) compare(stored, password string) (ok, stale bool, err error) {
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

func (p *passwords) peppered(id, password string) []byte {
	return base64.StdEncoding.AppendEncode(nil, mac(p.peppers[id], password))
}
