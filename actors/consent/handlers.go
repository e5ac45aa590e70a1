package consent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) get(ctx context.Context, r subjects.ConsentRequest) (subjects.Consent, error) {
	c, err := a.store.consent(ctx, actors.CallerFrom(ctx).UserID, r.ConsentID)
	if err != nil {
		return subjects.Consent{}, err
	}
	return c.resource(a.Now()), nil
}

func (a *Actor) list(ctx context.Context, r subjects.ListConsentsRequest) (subjects.Page[subjects.Consent], error) {
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return subjects.Page[subjects.Consent]{}, err
	}
	now := a.Now()
	rows, err := a.store.page(ctx, actors.CallerFrom(ctx).UserID, r, after[0], now)
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
	if _, err := a.store.consent(ctx, actors.CallerFrom(ctx).UserID, r.ConsentID); err != nil {
		return none, err
	}
	rows, err := a.store.entries(ctx, r.ConsentID, r.PageLimit()+1, after[0])
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
	items := make([]subjects.ScopeInfo, 0, len(a.purposes.all))
	for _, p := range a.purposes.all {
		items = append(items, p.resource())
	}
	return subjects.Page[subjects.ScopeInfo]{Items: items}, nil
}

// subjectOfCheck returns the user that a check is about. Only a service may name another user than the caller.
func subjectOfCheck(caller actors.Caller, r subjects.ValidateConsentRequest) (string, error) {
	switch {
	case r.UserID == "" || strings.EqualFold(r.UserID, caller.UserID):
		return caller.UserID, nil
	case caller.Service != "":
		return r.UserID, nil
	}
	return "", subjects.Errorf(subjects.CodeForbidden, "only a service may check another user's consent")
}

func (a *Actor) validate(ctx context.Context, r subjects.ValidateConsentRequest) (subjects.ConsentDecision, error) {
	userID, err := subjectOfCheck(actors.CallerFrom(ctx), r)
	if err != nil {
		return subjects.ConsentDecision{}, err
	}
	if p, known := a.purposes.of(r.Scope); known && p.SaleOrShare != "" {
		if err := a.observeGPC(ctx, ""); err != nil {
			return subjects.ConsentDecision{}, err
		}
	}
	entry, err := a.states.Get(ctx, kv.EncodeKey(userID, r.Scope))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return subjects.ConsentDecision{}, fmt.Errorf("reading a consent's state: %w", err)
	}
	d := decide(r.Scope, entry.Value, err == nil, a.Now())
	a.metrics.validations.WithLabelValues(d.Reason).Inc()
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
