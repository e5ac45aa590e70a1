package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// grant records a consent in SQL and then tells the guards. Killed in between, the consent is there and
// not yet in force; reconcile brings it into force at the next start.
func (a *Actor) grant(ctx context.Context, r subjects.GrantConsentRequest) (subjects.GrantedConsent, error) {
	now := a.Now()
	until := now.Add(a.config.Expiry)
	if r.ExpiresAt != nil {
		until = *r.ExpiresAt
	}
	if !until.After(now) || until.After(now.Add(a.config.MaxExpiry)) {
		return subjects.GrantedConsent{}, subjects.InvalidField("expires_at", "must be in the future and at most %s away", a.config.MaxExpiry)
	}
	c := consentRow{
		ID: a.NewID(), UserID: actors.CallerFrom(ctx).UserID, Scope: r.Scope, Purpose: r.Purpose,
		NoticeVersion: r.NoticeVersion, Jurisdiction: r.Jurisdiction, Status: active,
		GrantedAt: now.UnixMicro(), ExpiresAt: until.UnixMicro(), Continues: []string{},
	}
	c, err := idempotency.Step(ctx, a.DB, "record", func(ctx context.Context, tx database.Tx) (consentRow, error) {
		return a.record(ctx, tx, c)
	})
	if err != nil {
		return subjects.GrantedConsent{}, err
	}
	if err := a.publish(ctx, c); err != nil {
		return subjects.GrantedConsent{}, err
	}
	a.changes.WithLabelValues(c.Scope, granted).Inc()
	return subjects.GrantedConsent{Consent: c.resource(now), Receipt: c.receipt()}, nil
}

// record inserts the consent, supersedes the active one and says so to the ledger, as one commit.
func (a *Actor) record(ctx context.Context, tx database.Tx, c consentRow) (consentRow, error) {
	if _, err := a.subjectOf(ctx, tx, c.UserID); err != nil {
		return c, err
	}
	if err := holdSubject(ctx, tx, c.UserID); err != nil { // the next version is one's own
		return c, err
	}
	old, err := latest(ctx, tx, c.UserID, c.Scope)
	if err != nil {
		return c, err
	}
	c.Version = 1
	if old != nil {
		c.Version = old.Version + 1
		if continues := renewal(old, a.Now()); continues != nil {
			c.Continues = continues
		}
		old.Status, old.SupersededBy = superseded, c.ID
		was, err := end(ctx, tx, *old)
		if err != nil {
			return c, err
		}
		if was {
			if err := a.note(ctx, tx, *old, superseded, ""); err != nil {
				return c, err
			}
		}
	}
	if err := insert(ctx, tx, &c); err != nil {
		return c, err
	}
	return c, a.note(ctx, tx, c, granted, "")
}

// note writes one change to the history, the ledger and the event stream.
func (a *Actor) note(ctx context.Context, tx database.Tx, c consentRow, change, reason string) error {
	e := entryRow{ID: a.NewID(), ConsentID: c.ID, Change: change, At: a.Now().UnixMicro(), Reason: reason}
	if err := insert(ctx, tx, &e); err != nil {
		return err
	}
	subject, err := a.subjectOf(ctx, tx, c.UserID)
	if err != nil {
		return err
	}
	entry, err := subject.entryOf(e, c)
	if err != nil {
		return err
	}
	event, err := json.Marshal(subjects.ConsentChanged.New(e.ID, c.UserID, a.Now(), e.resource()))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Outbox.Add(ctx, tx,
		outbox.Message{ID: "ledger." + e.ID, Subject: subjects.LedgerSubject(subject.id), Key: c.UserID, Data: entry},
		outbox.Message{ID: "event." + e.ID, Subject: subjects.ConsentChanged.Subject, Key: c.UserID, Data: event})
}

// publish brings an active consent into force at the guards. One that takes another's place, which may have lasted longer,
// holds everywhere once publish has returned.
func (a *Actor) publish(ctx context.Context, c consentRow) error {
	renews := false
	_, err := a.states.Mutate(ctx, kv.EncodeKey(c.UserID, c.Scope),
		func(old subjects.ConsentState, known bool) (subjects.ConsentState, bool, error) {
			renews = false
			if !publishable(c, old, known) {
				return old, true, nil
			}
			renews = known && old.Status != revoked
			return c.state(), true, nil
		}, 0)
	if err != nil {
		return fmt.Errorf("publishing a consent: %w", err)
	}
	if !renews {
		return nil
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierConsentRenewed, UserID: c.UserID, Scope: c.Scope})
}

// revoke denies first: the state, then every guard's word, then the record. Only then does it answer.
func (a *Actor) revoke(ctx context.Context, r subjects.RevokeConsentRequest) (subjects.Consent, error) {
	c, err := find(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ConsentID)
	if err != nil {
		return subjects.Consent{}, err
	}
	switch c.Status {
	case revoked:
		return c.resource(a.Now()), nil
	case superseded:
		return subjects.Consent{}, subjects.Errorf(subjects.CodeConflict, "the consent was superseded by %s: revoke that one", c.SupersededBy)
	}
	if err := a.deny(ctx, c); err != nil {
		return subjects.Consent{}, err
	}
	c, err = idempotency.Step(ctx, a.DB, "revoke", func(ctx context.Context, tx database.Tx) (consentRow, error) {
		return a.recordRevocation(ctx, tx, c, r.Reason)
	})
	if err != nil {
		return subjects.Consent{}, err
	}
	return c.resource(a.Now()), nil
}

// deny writes the revocation where guards read, and returns once every live guard has taken note.
func (a *Actor) deny(ctx context.Context, c consentRow) error {
	_, err := a.states.Mutate(ctx, kv.EncodeKey(c.UserID, c.Scope),
		func(old subjects.ConsentState, known bool) (subjects.ConsentState, bool, error) {
			if known && old.Version > c.Version {
				return old, true, errSuperseded
			}
			denied := c.state()
			denied.Status, denied.Continues = revoked, nil
			return denied, true, nil
		}, 0)
	if errors.Is(err, errSuperseded) {
		return subjects.Errorf(subjects.CodeConflict, "the consent was superseded meanwhile: revoke the newer one")
	}
	if err != nil {
		return fmt.Errorf("writing a revocation: %w", err)
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierConsent, UserID: c.UserID, Scope: c.Scope})
}

var errSuperseded = errors.New("superseded")

func (a *Actor) recordRevocation(ctx context.Context, tx database.Tx, c consentRow, reason string) (consentRow, error) {
	c.Status, c.RevokedAt, c.RevokeReason = revoked, a.Now().UnixMicro(), reason
	was, err := end(ctx, tx, c)
	if err != nil {
		return c, err
	}
	if !was {
		return find(ctx, tx, c.UserID, c.ID)
	}
	a.changes.WithLabelValues(c.Scope, revoked).Inc()
	return c, a.note(ctx, tx, c, revoked, reason)
}

// asked is the user that a question is about: a service's word counts, a user's does not.
func asked(ctx context.Context, r subjects.ValidateConsentRequest) string {
	caller := actors.CallerFrom(ctx)
	if caller.Service != "" && r.UserID != "" {
		return r.UserID
	}
	return caller.UserID
}

func (a *Actor) validate(ctx context.Context, r subjects.ValidateConsentRequest) (subjects.ConsentDecision, error) {
	entry, err := a.states.Get(ctx, kv.EncodeKey(asked(ctx, r), r.Scope))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return subjects.ConsentDecision{}, fmt.Errorf("reading a consent's state: %w", err)
	}
	d := decide(r.Scope, entry.Value, err == nil, a.Now())
	a.validations.WithLabelValues(d.Reason).Inc()
	return d, nil
}

func (a *Actor) validateBulk(ctx context.Context, r subjects.BulkValidateConsentsRequest) (subjects.BulkConsentDecisions, error) {
	results := make([]subjects.ConsentDecision, len(r.Checks))
	for i, check := range r.Checks {
		var err error
		if results[i], err = a.validate(ctx, check); err != nil {
			return subjects.BulkConsentDecisions{}, err
		}
	}
	return subjects.BulkConsentDecisions{Results: results}, nil
}

func (a *Actor) get(ctx context.Context, r subjects.ConsentRequest) (subjects.Consent, error) {
	c, err := find(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ConsentID)
	return c.resource(a.Now()), err
}

func (a *Actor) receipt(ctx context.Context, r subjects.ConsentRequest) (subjects.ConsentReceipt, error) {
	c, err := find(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ConsentID)
	return c.receipt(), err
}

func (a *Actor) list(ctx context.Context, r subjects.ListConsentsRequest) (subjects.Page[subjects.Consent], error) {
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return subjects.Page[subjects.Consent]{}, err
	}
	now := a.Now()
	rows, err := page(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0], now)
	if err != nil {
		return subjects.Page[subjects.Consent]{}, err
	}
	items := make([]subjects.Consent, len(rows))
	for i, c := range rows {
		items[i] = c.resource(now)
	}
	return actors.PageOf(items, r.PageLimit(), func(c subjects.Consent) []string { return []string{c.ID} }), nil
}

func (a *Actor) history(ctx context.Context, r subjects.ConsentHistoryRequest) (subjects.Page[subjects.ConsentEntry], error) {
	none := subjects.Page[subjects.ConsentEntry]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	if _, err := find(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ConsentID); err != nil {
		return none, err
	}
	rows, err := entries(ctx, a.DB.DB, r.ConsentID, r.PageLimit()+1, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.ConsentEntry, len(rows))
	for i, e := range rows {
		items[i] = e.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(e subjects.ConsentEntry) []string { return []string{e.ID} }), nil
}

func (a *Actor) scopes(context.Context, subjects.Empty) (subjects.Page[subjects.ScopeInfo], error) {
	items := make([]subjects.ScopeInfo, 0, len(descriptions))
	for _, scope := range subjects.Scopes() {
		items = append(items, subjects.ScopeInfo{Scope: scope, Description: descriptions[scope]})
	}
	return subjects.Page[subjects.ScopeInfo]{Items: items}, nil
}

// reconcileBatch is how many consents reconcile looks at in one read.
const reconcileBatch = 500

// reconcile mends, once at the start, what a crash left between SQL and the guards' bucket: a consent
// that never came into force does, and a revocation that was not recorded is.
func (a *Actor) reconcile(ctx context.Context) error {
	for after := ""; ; {
		rows, err := activeAfter(ctx, a.DB.DB, after, reconcileBatch)
		if err != nil {
			return err
		}
		for _, c := range rows {
			if err := a.reconcileOne(ctx, c); err != nil {
				return err
			}
		}
		if len(rows) < reconcileBatch {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}

func (a *Actor) reconcileOne(ctx context.Context, c consentRow) error {
	entry, err := a.states.Get(ctx, kv.EncodeKey(c.UserID, c.Scope))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return a.publish(ctx, c)
	case err != nil:
		return fmt.Errorf("reading a consent's state: %w", err)
	case entry.Value.ConsentID == c.ID && entry.Value.Status == revoked:
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			_, err := a.recordRevocation(ctx, tx, c, "")
			return err
		})
	case entry.Value.Version < c.Version:
		return a.publish(ctx, c)
	}
	return nil
}

// startupTimeout bounds what New does.
const startupTimeout = 10 * time.Second
