package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Kinds of barriers.
const (
	// BarrierSessions waits until every member has seen a revision of the bucket of revoked sessions.
	BarrierSessions = "sessions"
	// BarrierConsent waits until every member refuses new actions under a user's consent to a scope.
	BarrierConsent = "consent"
	// BarrierConsentRenewed waits until every member has read the state of a user's consent to a scope again.
	BarrierConsentRenewed = "consent_renewed"
	// BarrierConsents waits until every member has dropped the states of consents that it has cached.
	BarrierConsents = "consents"
	// BarrierAccount waits until every member has seen a revision of the bucket of blocked accounts, and has held back what it was
	// about to start for the account.
	BarrierAccount = "account"
	// BarrierCaches waits until every process of an actor has emptied its caches of some tables, see Membership.Peers.
	BarrierCaches = "caches"
)

// Barrier is the message of a revocation barrier, which every live member acknowledges before the revocation returns.
type Barrier struct {
	Kind     string `json:"kind"`
	Revision uint64 `json:"revision,omitempty"`
	UserID   string `json:"user_id,omitempty"`
	Scope    string `json:"scope,omitempty"`
	// Tables are the names of tables.
	Tables []string `json:"tables,omitempty"`
}

// RaiseBarrier sends b to every live member and returns when each has acknowledged it or its lease has expired. The revocation must
// have been written before. Only auth and consent are permitted to call it.
func RaiseBarrier(ctx context.Context, conn *Conn, b Barrier) error {
	return raise(ctx, conn, subjects.GuardBarrier, ">", b)
}

// raise sends a barrier on a subject and waits for the live members that match filter.
func raise(ctx context.Context, conn *Conn, subject, filter string, b Barrier) error {
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encoding a barrier: %w", err)
	}
	replies := make(chan *nats.Msg, 256)
	inbox := conn.NewInbox()
	sub, err := conn.ChanSubscribe(inbox+".*", replies)
	if err != nil {
		return transportError(ctx, fmt.Errorf("subscribing to acknowledgements: %w", err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	acknowledged := map[string]bool{}
	for try := 0; ; try++ {
		live, err := kv.Live(ctx, conn.JS, kv.Guards, filter)
		if err != nil {
			return transportError(ctx, fmt.Errorf("listing the members: %w", err))
		}
		// Each attempt has its own reply subject, because a member may answer once on each.
		if err := conn.PublishRequest(subject, inbox+"."+strconv.Itoa(try), data); err != nil {
			return transportError(ctx, fmt.Errorf("publishing a barrier: %w", err))
		}
		if collect(ctx, replies, live, acknowledged) {
			return nil
		}
		if ctx.Err() != nil {
			return transportError(ctx, fmt.Errorf("waiting for acknowledgements: %w", ctx.Err()))
		}
	}
}

// collect receives acknowledgements for 250 ms and reports whether all of live have acknowledged.
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
