package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// LeaseLength is how long a process that has gone silent may still be acting on what it knew: what a
// revocation waits for at the most.
const LeaseLength = 5 * time.Second

// Sync kinds.
const (
	// SyncSessions asks every guard to have seen a revision of the bucket of revoked sessions.
	SyncSessions = "sessions"
	// SyncConsent asks every guard to stop what has not started yet under a user's scope.
	SyncConsent = "consent"
	// SyncConsentRenewed asks every guard to read the state of a user's scope anew.
	SyncConsentRenewed = "consent_renewed"
)

// Sync is what a revocation tells every live guard before it is acknowledged.
type Sync struct {
	Kind     string `json:"kind"`
	Revision uint64 `json:"revision,omitempty"`
	UserID   string `json:"user_id,omitempty"`
	Scope    string `json:"scope,omitempty"`
}

// Presence makes a process one that revocations wait for. It holds a short lease in the bucket of
// guards and answers each Sync once it has taken note. A process whose lease has ended must answer
// "unavailable", not yes: Live tells.
type Presence struct {
	conn     *Conn
	log      *zap.Logger
	lease    *kv.Lease
	sub      *nats.Subscription
	mu       sync.Mutex
	handlers map[string]func(context.Context, Sync) error
	rejoin   []func(context.Context) error
}

// Join takes the lease first and only then lets its caller load state: so a revocation either finds the
// lease and waits, or has been written before the state was loaded.
func Join(ctx context.Context, conn *Conn, log *zap.Logger) (*Presence, error) {
	p := &Presence{conn: conn, log: log, handlers: map[string]func(context.Context, Sync) error{}}
	id := conn.User + "." + uuid.NewString()
	var err error
	p.sub, err = conn.Subscribe(subjects.GuardSync, func(m *nats.Msg) { go p.answer(m, id) })
	if err != nil {
		return nil, fmt.Errorf("listening for revocations: %w", err)
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		return nil, fmt.Errorf("listening for revocations: %w", err)
	}
	p.lease, err = kv.HoldLease(ctx, conn.JS, kv.Guards, id, LeaseLength, kv.OnRejoin(p.catchUp))
	if err != nil {
		return nil, fmt.Errorf("taking a guard's lease: %w", err)
	}
	return p, nil
}

// Live tells whether the lease holds.
func (p *Presence) Live() bool { return p.lease.Valid() }

// Handle registers what to do on a kind of Sync; a kind without a handler is acknowledged at once.
func (p *Presence) Handle(kind string, f func(context.Context, Sync) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[kind] = f
}

// OnRejoin registers what must be caught up with before the process is live again after its lease had
// lapsed: meanwhile nobody waited for it.
func (p *Presence) OnRejoin(f func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejoin = append(p.rejoin, f)
}

func (p *Presence) catchUp(ctx context.Context) error {
	p.mu.Lock()
	rejoin := slices.Clone(p.rejoin)
	p.mu.Unlock()
	for _, f := range rejoin {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// answer acknowledges by the lease's key. A failure is not answered: the revocation then waits for
// this process's lease to end.
func (p *Presence) answer(m *nats.Msg, id string) {
	var s Sync
	if err := json.Unmarshal(m.Data, &s); err != nil || !IsInbox(m.Reply) || m.Header.Get(HeaderStream) != "" {
		return
	}
	p.mu.Lock()
	handle := p.handlers[s.Kind]
	p.mu.Unlock()
	if handle != nil {
		ctx, cancel := context.WithTimeout(context.Background(), LeaseLength)
		defer cancel()
		if err := handle(ctx, s); err != nil {
			p.log.Warn("a revocation was not taken note of", zap.String("kind", s.Kind), zap.Error(err))
			return
		}
	}
	if err := m.Respond([]byte(id)); err != nil {
		p.log.Warn("answering a revocation", zap.Error(err))
	}
}

// Close gives the lease back; where NATS cannot be reached, it ends by itself. What the process guards must have ended before.
func (p *Presence) Close(ctx context.Context) error {
	err := p.lease.Close(ctx)
	if errors.Is(err, kv.ErrUnavailable) {
		p.log.Warn("the lease is left to end by itself", zap.Error(err))
		err = nil
	}
	if e := p.sub.Unsubscribe(); err == nil {
		err = e
	}
	return err
}

// SyncGuards tells every live guard and returns once each has acknowledged or its lease has ended. What
// is revoked must have been written before. Only auth and consent may call it.
func SyncGuards(ctx context.Context, conn *Conn, s Sync) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding a revocation: %w", err)
	}
	replies := make(chan *nats.Msg, 256)
	inbox := conn.NewInbox()
	sub, err := conn.ChanSubscribe(inbox+".*", replies)
	if err != nil {
		return transportError(ctx, fmt.Errorf("listening for acknowledgements: %w", err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	acknowledged := map[string]bool{}
	for try := 0; ; try++ {
		live, err := kv.Live(ctx, conn.JS, kv.Guards, ">")
		if err != nil {
			return transportError(ctx, fmt.Errorf("listing the guards: %w", err))
		}
		// A reply subject of each try's own: a guard may answer on each once.
		if err := conn.PublishRequest(subjects.GuardSync, inbox+"."+strconv.Itoa(try), data); err != nil {
			return transportError(ctx, fmt.Errorf("telling the guards: %w", err))
		}
		if collect(ctx, replies, live, acknowledged) {
			return nil
		}
		if ctx.Err() != nil {
			return transportError(ctx, fmt.Errorf("waiting for the guards: %w", ctx.Err()))
		}
	}
}

// collect takes acknowledgements for a moment and tells whether all of live have given theirs.
func collect(ctx context.Context, replies <-chan *nats.Msg, live []string, acknowledged map[string]bool) bool {
	missing := func() bool {
		for _, id := range live {
			if !acknowledged[id] {
				return true
			}
		}
		return false
	}
	again := time.NewTimer(250 * time.Millisecond)
	defer again.Stop()
	for missing() {
		select {
		case m := <-replies:
			acknowledged[string(m.Data)] = true
		case <-again.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}
