package idempotency

import (
	"bytes"
	"cmp"
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
	"github.com/weftmesh/weft/actors/wait"
)

var (
	// ErrMismatch means that the key was used with another request (HTTP 422).
	ErrMismatch = errors.New("idempotency key was used with another request")
	// ErrInProgress means that a call with this key is still running, in this or another copy of the actor (HTTP 409).
	ErrInProgress = errors.New("a call with this idempotency key is in progress")
	// ErrTooMany means that the caller has used up Config.MaxRecords or Config.MaxBytes (HTTP 429).
	ErrTooMany = errors.New("too many idempotency keys were used")
	// errLeaseLost means that this call outlived its lease and another one took the reservation over. Its changes were rolled
	// back.
	errLeaseLost = fmt.Errorf("%w: this one outlived its lease", ErrInProgress)
)

// Key is one caller's idempotency key at one endpoint. Only a hash of it is stored.
type Key struct {
	Endpoint string // the endpoint's subject
	Caller   string // identifies the caller: equal keys of different callers are independent
	Key      string // the Idempotency-Key header
}

// id returns a hash of the parts, each preceded by its length so that different keys cannot yield the same input.
func (k Key) id() string {
	var b []byte
	for _, part := range []string{"weft idempotency", k.Endpoint, k.Caller, k.Key} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// caller returns the hash under which the records of the key's caller are counted.
func (k Key) caller() string {
	sum := sha256.Sum256([]byte("weft idempotency caller\x00" + k.Caller))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Answer is a call's answer as the runtime sends it: the encoded result or the encoded error.
type Answer struct {
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
}

func (a Answer) empty() bool { return len(a.Header) == 0 && len(a.Body) == 0 }

// Config configures a Store. DB, Sealer and Log are required.
type Config struct {
	DB     *database.DB
	Sealer *seal.Sealer
	Log    *zap.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Keep is how long an answer is replayed; 24 hours by default.
	Keep time.Duration
	// Wait is how long a call waits for another one with its key before it fails with ErrInProgress; 2 seconds by default.
	Wait time.Duration
	// Lease is how long a call without a deadline owns its reservation; 30 seconds by default. A call with a deadline owns it
	// until 5 seconds after the deadline.
	Lease time.Duration
	// MaxRecords and MaxBytes bound the records of one caller: 200,000 and 256 MiB by default. What other processes have recorded for
	// the caller since the last sweep is not counted.
	MaxRecords, MaxBytes int64
	// SweepEvery is the interval at which Run deletes expired records; 10 minutes by default.
	SweepEvery time.Duration
}

// Store makes a mutating call happen once per key, through Do, also under kill -9:
//
//  1. Do commits a reservation with its owner and the end of its lease. A second call with the key waits, and then fails with
//     ErrInProgress.
//  2. The handler runs. Its first RunInTx begins a transaction that stays open (a keyed call); later ones are savepoints in it;
//     reads through DB with the handler's context see its writes.
//  3. When the handler has returned, Do writes the answer to the reservation's row in that transaction and commits it: the change
//     and its answer are durable together or not at all. The write is fenced by the owner: a call that outlived its lease and was
//     taken over is rolled back.
//
// If a handler writes no SQL, because its effects are in KV, step 3 commits the answer alone. If the process is killed before, the
// reservation expires with its lease (on SQLite with the process) and a retry runs the handler again. Such effects must be
// repeatable, as they must be without a key.
//
// In a keyed call, a handler's writes are not visible to others before it has returned, and on SQLite the actor's only writer is
// occupied from the first write on. So a handler must do nothing slow between its first write and its return, and call nothing
// that needs to see the write. If it must (start an execution and wait for it; write SQL and then KV), it uses Step, which commits
// at once and records its result. Reads after a write use the same connection, so they must not run concurrently.
//
// Hash, steps and answer are sealed, bound to the row's id.
type Store struct {
	cfg   Config
	usage *usage
	mu    sync.Mutex
	local map[string]chan struct{} // the keys of calls running in this process; closed when the call ends
}

// New returns a store of records in cfg.DB, whose tables database.Migrate has created.
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
	cfg.MaxRecords, cfg.MaxBytes = cmp.Or(cfg.MaxRecords, 200_000), cmp.Or(cfg.MaxBytes, 256<<20)
	return &Store{cfg: cfg, usage: newUsage(cfg.MaxRecords, cfg.MaxBytes), local: map[string]chan struct{}{}}
}

// leaseGrace is how long a reservation outlives its call's deadline, for the commit.
const leaseGrace = 5 * time.Second

// inProgressPoll is the interval at which the reservation of another copy is read again.
const inProgressPoll = 50 * time.Millisecond

// Do returns the recorded answer of key or, if there is none, runs call and records its answer. requestHash is a hash of the whole
// request. redact names JSON fields that are removed from the recorded answer at any depth, for endpoints with secrets. replayed
// reports that call was not run.
//
// The handler must use the context passed to call. The results of call mean:
//   - no error: the answer and the changes are kept.
//   - an error and a non-empty Answer: a final refusal. The changes and the answer, the encoded error, are kept.
//   - an error and an empty Answer: a transient failure. The changes are rolled back and a retry runs call again.
//
// Errors: ErrMismatch, ErrInProgress, database.ErrUnavailable and those of call. After ErrUnavailable it may be unknown whether the
// last commit took effect; repeating the call with the same key answers that.
func (s *Store) Do(ctx context.Context, key Key, requestHash []byte, redact []string,
	call func(ctx context.Context) (Answer, error)) (answer Answer, replayed bool, err error) {
	id := key.id()
	waiting, cancel := context.WithTimeoutCause(ctx, s.cfg.Wait, ErrInProgress)
	defer cancel()
	for {
		running, mine := s.enter(id)
		if mine {
			answer, state, err := s.attempt(ctx, id, key.caller(), requestHash, redact, call, running)
			if state != claimBusy {
				return answer, state == claimDone, err
			}
			running = nil // it runs in another copy: poll
		}
		if err := wait.Until(waiting, running, inProgressPoll); err != nil {
			return Answer{}, false, err
		}
	}
}

// enter marks the key as running in this process. If it is already, enter returns the channel that is closed when that call ends.
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

// attempt claims the key and, if it is free, runs call.
func (s *Store) attempt(ctx context.Context, id, caller string, requestHash []byte, redact []string,
	call func(ctx context.Context) (Answer, error), running chan struct{}) (Answer, claimState, error) {
	defer s.leave(id, running)
	owner := s.cfg.DB.Instance() + "/" + uuid.NewString()
	record, state, err := s.claim(ctx, id, caller, owner, requestHash)
	if err != nil {
		return Answer{}, claimMine, err
	}
	if state == claimDone {
		return *record.Answer, state, nil
	}
	if state == claimBusy {
		return Answer{}, state, nil
	}
	k := &keyedCall{store: s, id: id, caller: caller, owner: owner, record: record}
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

// record is the sealed content of a row.
type record struct {
	Hash   []byte                     `json:"hash"`
	Steps  map[string]json.RawMessage `json:"steps,omitempty"`
	Answer *Answer                    `json:"answer,omitempty"`
}

// Sealed is the sealed column of the table of idempotency keys, which every actor's database has, for key rotation.
var Sealed = seal.Column{
	Table: "weft_idempotency", Column: "sealed", Key: []string{"id"}, Associated: func(values []string) []byte { return associatedData(values[0]) },
}

// associatedData binds a sealed record to its row.
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

// redactJSON returns body without the fields of the given names, at any depth. It returns nil for a body that is not JSON, because
// fields cannot be removed from it.
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
