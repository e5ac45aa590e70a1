package consent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// bulkReads is how many states one call of bulk_validate_consents reads at once.
const bulkReads = 16

// subjectOfCheck returns the user that a check is about. Only a service may name another user than the caller.
func subjectOfCheck(caller actors.Caller, userID string) (string, error) {
	switch {
	case userID == "" || strings.EqualFold(userID, caller.UserID):
		return caller.UserID, nil
	case caller.Service != "":
		return strings.ToLower(userID), nil // as ids are kept
	}
	return "", subjects.Errorf(subjects.CodeForbidden, "only a service may check another user's consent")
}

func (a *Actor) validate(ctx context.Context, r subjects.ValidateConsentRequest) (subjects.ConsentDecision, error) {
	userID, err := subjectOfCheck(actors.CallerFrom(ctx), r.UserID)
	if err != nil {
		return subjects.ConsentDecision{}, err
	}
	if err := a.observeGPCFor(ctx, r.Scope); err != nil {
		return subjects.ConsentDecision{}, err
	}
	d, err := a.decision(ctx, userID, r.Scope, a.Now())
	if err == nil {
		a.metrics.validations.WithLabelValues(d.Reason).Inc()
	}
	return d, err
}

// observeGPCFor takes notice of the request's signal if one of the scopes sells or shares personal information.
func (a *Actor) observeGPCFor(ctx context.Context, scopes ...string) error {
	for _, scope := range scopes {
		if p, known := a.purposes.of(scope); known && p.SaleOrShare != "" {
			return a.observeGPC(ctx, "")
		}
	}
	return nil
}

// decision reads the state of a consent and decides about it at a moment.
func (a *Actor) decision(ctx context.Context, userID, scope string, now time.Time) (subjects.ConsentDecision, error) {
	entry, err := a.states.Get(ctx, kv.EncodeKey(userID, scope))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return subjects.ConsentDecision{}, fmt.Errorf("reading a consent's state: %w", err)
	}
	return decide(scope, entry.Value, err == nil, now), nil
}

// validateBulk answers each check as validate does. A state is read once, however often it is asked for.
func (a *Actor) validateBulk(ctx context.Context, r subjects.BulkValidateConsentsRequest) (subjects.BulkConsentDecisions, error) {
	checks, err := expandChecks(actors.CallerFrom(ctx), r.Checks)
	if err != nil {
		return subjects.BulkConsentDecisions{}, err
	}
	scopes := make([]string, len(checks))
	for i, c := range checks {
		scopes[i] = c.scope
	}
	if err := a.observeGPCFor(ctx, scopes...); err != nil {
		return subjects.BulkConsentDecisions{}, err
	}
	decisions := map[consentCheck]*subjects.ConsentDecision{}
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(bulkReads)
	now := a.Now()
	for _, c := range checks {
		c.entry = 0
		if decisions[c] != nil {
			continue
		}
		d := &subjects.ConsentDecision{}
		decisions[c] = d
		group.Go(func() (err error) {
			*d, err = a.decision(reading, c.userID, c.scope, now)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return subjects.BulkConsentDecisions{}, err
	}
	results := make([]subjects.BulkConsentDecision, len(checks))
	for i, c := range checks {
		entry := c.entry
		c.entry = 0
		results[i] = subjects.BulkConsentDecision{Check: entry, ConsentDecision: *decisions[c]}
		a.metrics.validations.WithLabelValues(results[i].Reason).Inc()
	}
	return subjects.BulkConsentDecisions{Results: results}, nil
}
