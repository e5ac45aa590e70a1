package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// expirySweep is the interval between two sweeps.
	expirySweep = time.Minute
	// expiryPage is how many consents a sweep reads at a time.
	expiryPage = 200
)

// A consent expires by the clock of who checks it; nothing has to happen for it. What is done about expiry is a notice to the user before.

// runExpiry tells users of consents that expire soon, until ctx ends. Any number of processes may run it: a notice has a dedupe key.
func (a sweeper) runExpiry(ctx context.Context) error {
	if a.config.ExpiryNotice == 0 {
		<-ctx.Done()
		return nil
	}
	return wait.Repeat(ctx, expirySweep, func(ctx context.Context) error {
		if err := a.sendExpiryNotices(ctx); err != nil && ctx.Err() == nil {
			a.Log.Warn("telling users of consents that expire soon; the next sweep retries", zap.Error(err))
		}
		return nil
	})
}

// sendExpiryNotices sends the notices that are due. One that cannot be sent stays due, and does not hold up the others.
func (a sweeper) sendExpiryNotices(ctx context.Context) error {
	var failures []error
	after := consentRow{}
	for {
		now := a.Now()
		rows, err := a.store.expiring(ctx, now, now.Add(a.config.ExpiryNotice), after, expiryPage)
		if err != nil {
			return err
		}
		for _, c := range rows {
			if a.Guard.Blocked(c.UserID) {
				continue // notified once the account is enabled
			}
			if err := a.sendExpiryNotice(ctx, c); err != nil {
				if subjects.CodeOf(err) == subjects.CodeUnavailable || ctx.Err() != nil {
					return err // the notification actor is away: all others would fail too
				}
				failures = append(failures, fmt.Errorf("consent %s: %w", c.ID, err))
			}
		}
		if len(rows) < expiryPage {
			return errors.Join(failures[:min(len(failures), 10)]...)
		}
		after = rows[len(rows)-1]
	}
}

// sendExpiryNotice sends one notice and records it. A notice that was sent and not recorded is sent again under the same dedupe key, and so is not
// delivered again.
func (a sweeper) sendExpiryNotice(ctx context.Context, c consentRow) error {
	data := map[string]json.RawMessage{}
	for name, value := range map[string]string{
		"consent_id": c.ID, "scope": c.Scope, "expires_at": time.UnixMicro(c.ExpiresAt).UTC().Format(time.RFC3339),
		"link": renewLink(a.config.RenewURL, c),
	} {
		encoded, err := subjects.Encode(value)
		if err != nil {
			return fmt.Errorf("encoding data: %w", err)
		}
		data[name] = encoded
	}
	_, err := mesh.Call(ctx, a.Conn, subjects.SendNotification, subjects.SendNotificationRequest{
		UserID: c.UserID, Category: "consent", Channels: []string{"in_app", "email"}, Template: subjects.TemplateConsentExpiring,
		Data: data, DedupeKey: "consent.expiring." + c.ID,
	}, mesh.As{Service: true, UserID: c.UserID})
	if err != nil {
		return err
	}
	a.metrics.expiryNotices.Inc()
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return a.store.addExpiryNotice(ctx, tx, c.ID, a.Now())
	})
}

// renewLink is the page on which a consent is renewed; empty without one.
func renewLink(page string, c consentRow) string {
	u, err := url.Parse(page)
	if page == "" || err != nil {
		return ""
	}
	query := u.Query()
	query.Set("consent_id", c.ID)
	query.Set("scope", c.Scope)
	u.RawQuery = query.Encode()
	return u.String()
}
