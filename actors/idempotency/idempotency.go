package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
)

var (
	// ErrIdempotencyMismatch says that the key was used with another request (HTTP 422).
	ErrMismatch = errors.New("idempotency key was used with another request")
	// ErrIdempotencyInProgress says that a call with this key still runs, here or in another copy (HTTP 409).
	ErrInProgress = errors.New("a call with this idempotency key is in progress")
	// errIdempotencyLost says that another copy took the reservation over, since this call outlived its lease; whatever
	// this call changed was rolled back.
	errLost = fmt.Errorf("%w: this one outlived its lease", ErrInProgress)
)

// Key is one caller's idempotency key at one endpoint. All three are the caller's or the contract's words; only their
// hash is stored.
type Key struct {
	Endpoint string // the endpoint's subject
	Caller   string // who is calling: keys of different callers never meet
	Key      string // the Idempotency-Key header
}

func (k Key) id() string {
	var b []byte
	for _, part := range []string{"weft idempotency", k.Endpoint, k.Caller, k.Key} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Answer is what a call answered, as the runtime sends it: of the handler's result or of its error.
type Answer struct {
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
}

func (a Answer) empty() bool { return len(a.Header) == 0 && len(a.Body) == 0 }

// Config_i says how an Idempotency works; DB, Sealer and Log are needed.
type Config struct {
	DB     *database.DB
	Sealer *seal.Sealer
	Log    *zap.Logger
	// Now is time.Now unless set.
	Now func() time.Time
	// Keep is how long an answer is replayed: 24 hours when zero (DESIGN.md §2).
	Keep time.Duration
	// Wait is how long a second call with a key waits for the first before ErrIdempotencyInProgress: 2 seconds when zero.
	Wait time.Duration
	// Lease is how long a call without a deadline owns its reservation: 30 seconds when zero. A call with a deadline owns
	// it until 5 seconds past that.
	Lease time.Duration
	// SweepEvery is the pause between two purges by Run: 10 minutes when zero.
	SweepEvery time.Duration
}

// Idempotency makes a mutating call happen once per key, through Do. It is how that stays true under kill -9:
//
//  1. Do commits a reservation: who runs this key, until when. A second call with the key waits, then is told so.
//  2. The handler runs. Its first RunInTx opens a transaction that stays open (a keyed call); later ones are savepoints
//     in it; reads through DB with the handler's context see what was written.
//  3. When the handler has returned, Do writes the answer into the reservation's row and commits it in that transaction:
//     the change and its answer are durable together or not at all. The write is fenced by the reservation's owner: a
//     call that outlived its lease, and was taken over, rolls back.
//
// A handler that writes no SQL (its effects are in KV) has its answer committed alone in step 3. Killed before that, its
// reservation ends with the lease (on SQLite with the process) and a retry runs it again: such effects must be
// repeatable, as they must be without a key.
//
// What a handler must know: with a key, nothing it wrote is visible to others until it has returned, and on SQLite the
// actor's one writer is held from its first write on. So between its first write and its return it does nothing slow,
// and calls nobody who would need to see the write. Where it must (start an execution, then wait for it; write SQL,
// then tell KV), it uses Step, which commits at once and remembers that it did. Reads after a write share its
// connection: not from several goroutines at once.
//
// Hash, steps and answer are stored sealed under the row's id.
type Store struct {
	cfg   Config
	mu    sync.Mutex
	local map[string]chan struct{} // keys that run in this process; closed at their end
}

// NewStore_i keeps its records in cfg.DB, whose tables Migrate made.
func New(cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Keep == 0 {
		cfg.Keep = 24 * time.Hour
	}
	if cfg.Wait == 0 {
		cfg.Wait = 2 * time.Second
	}
	if cfg.Lease == 0 {
		cfg.Lease = 30 * time.Second
	}
	if cfg.SweepEvery == 0 {
		cfg.SweepEvery = 10 * time.Minute
	}
	return &Store{cfg: cfg, local: map[string]chan struct{}{}}
}

// leaseGrace is how long a reservation outlives its call's deadline: the time to commit.
const leaseGrace = 5 * time.Second

// inProgressPoll is the pause between two looks at a reservation that another copy holds.
const inProgressPoll = 50 * time.Millisecond

// Do answers key from its record or, when there is none, from call, and keeps that answer. requestHash is a hash of the
// whole request; redact names JSON fields, at any depth, that the kept answer lacks (a Secret endpoint's replay). replayed
// tells that call did not run.
//
// call gets the keyed context, which the handler must use. What it returns decides:
//   - nil error: the answer is kept, with the changes.
//   - an error and a non-empty Answer: a final refusal; the changes and that answer (the encoded error) are kept.
//   - an error and an empty Answer: a passing one (unavailable, a deadline); the changes are undone, a retry runs again.
//
// Errors: ErrIdempotencyMismatch, ErrIdempotencyInProgress, ErrUnavailable, and call's. After ErrUnavailable from the
// last commit the outcome is unknown to this process, not to the record: the same key tells.
func (s *Store) Do(ctx context.Context, key Key, requestHash []byte, redact []string,
	call func(ctx context.Context) (Answer, error)) (answer Answer, replayed bool, err error) {
	id := key.id()
	limit := time.NewTimer(s.cfg.Wait)
	defer limit.Stop()
	for {
		running, mine := s.enter(id)
		if mine {
			answer, state, err := s.attempt(ctx, id, requestHash, redact, call, running)
			if state != claimBusy {
				return answer, state == claimDone, err
			}
			running = nil // another copy has it: look again after a while
		}
		poll := time.NewTimer(inProgressPoll)
		select {
		case <-running:
		case <-poll.C:
		case <-limit.C:
			poll.Stop()
			return Answer{}, false, ErrInProgress
		case <-ctx.Done():
			poll.Stop()
			return Answer{}, false, context.Cause(ctx)
		}
		poll.Stop()
	}
}

// enter takes the key in this process, or returns the channel that is closed when whoever has it is done.
func (s *Store) enter(id string) (running chan struct{}, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if running, ok := s.local[id]; ok {
		return running, false
	}
	running = make(chan struct{})
	s.local[id] = running
	return running, true
}

func (s *Store) leave(id string, running chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.local, id)
	close(running)
}

func (s *Store) attempt(ctx context.Context, id string, requestHash []byte, redact []string,
	call func(ctx context.Context) (Answer, error), running chan struct{}) (Answer, claimState, error) {
	defer s.leave(id, running)
	owner := s.cfg.DB.Instance() + "/" + uuid.NewString()
	record, state, err := s.claim(ctx, id, owner, requestHash)
	if err != nil {
		return Answer{}, claimMine, err
	}
	if state == claimDone {
		return *record.Answer, state, nil
	}
	if state == claimBusy {
		return Answer{}, state, nil
	}
	k := &keyedCall{store: s, id: id, owner: owner, record: record}
	answer, err := k.run(ctx, call, redact)
	return answer, claimMine, err
}

func (s *Store) leaseUntil(ctx context.Context) time.Time {
	now := s.cfg.Now()
	if deadline, ok := ctx.Deadline(); ok {
		return now.Add(time.Until(deadline) + leaseGrace)
	}
	return now.Add(s.cfg.Lease)
}

// record is what a row holds sealed.
type record struct {
	Hash   []byte                     `json:"hash"`
	Steps  map[string]json.RawMessage `json:"steps,omitempty"`
	Answer *Answer                    `json:"answer,omitempty"`
}

// SealedAnswers is the sealed column of the table of idempotency keys, which every actor's database has.
var Sealed = seal.Column{
	Table: "weft_idempotency", Column: "sealed", Key: []string{"id"}, Associated: func(values []string) []byte { return associatedData(values[0]) },
}

// associatedData binds what is sealed to its row.
func associatedData(id string) []byte { return []byte("weft_idempotency/" + id) }

func (s *Store) seal(id string, r record) ([]byte, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding idempotency record: %w", err)
	}
	return s.cfg.Sealer.Seal(plain, associatedData(id))
}

func (s *Store) open(id string, sealed []byte) (record, error) {
	var r record
	plain, err := s.cfg.Sealer.Open(sealed, associatedData(id))
	if err != nil {
		return r, fmt.Errorf("opening idempotency record: %w", err)
	}
	if err := json.Unmarshal(plain, &r); err != nil {
		return r, fmt.Errorf("decoding idempotency record: %w", err)
	}
	return r, nil
}

// redactJSON is body without the fields of these names, at any depth. A body that is not JSON is dropped whole: what
// cannot be read cannot be cleaned.
func redactJSON(body []byte, fields []string) []byte {
	if len(fields) == 0 || len(body) == 0 {
		return body
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return nil
	}
	drop := make(map[string]bool, len(fields))
	for _, f := range fields {
		drop[f] = true
	}
	clean, err := json.Marshal(withoutFields(v, drop))
	if err != nil {
		return nil
	}
	return clean
}

func withoutFields(v any, drop map[string]bool) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if drop[name] {
				delete(v, name)
				continue
			}
			v[name] = withoutFields(inner, drop)
		}
	case []any:
		for n := range v {
			v[n] = withoutFields(v[n], drop)
		}
	}
	return v
}
