package notification

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/timing"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// pipeline takes notifications from their acceptance to their providers. Its stages are, in this order: resolve the recipient (recipientContact),
// preference and condition, quiet hours and windows, batching (all decide), consent (permitted, around them), the recipient's rate (claim),
// rendering (render), and the provider (sendAll).
type pipeline struct {
	actors.Deps
	config  Config
	store   store
	seams   seams
	metrics metrics
	bounds  *bounds
	// templates finds and renders templates.
	templates *templateCatalog
}

// recipientContact looks up a user's contact data once.
type recipientContact struct {
	pl      *pipeline
	userID  string
	known   bool
	contact subjects.Contact
	err     error
}

func (pl *pipeline) recipientContact(userID string) *recipientContact {
	return &recipientContact{pl: pl, userID: userID}
}

// get returns the contact data that auth has; not_found if the account no longer exists.
func (r *recipientContact) get(ctx context.Context) (subjects.Contact, error) {
	if !r.known {
		r.contact, r.err = mesh.Call(ctx, r.pl.Conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: r.userID})
		r.err = wrapped(r.err, "looking up the user's contact data")
		r.known = r.err == nil || subjects.CodeOf(r.err) == subjects.CodeNotFound
	}
	return r.contact, r.err
}

// zone returns the time zone of a user's settings, otherwise of the user's profile, otherwise UTC.
func (r *recipientContact) zone(ctx context.Context, p preferences) (*time.Location, error) {
	name := ""
	if p.QuietHours != nil {
		name = p.QuietHours.TimeZone
	}
	if name == "" {
		contact, err := r.get(ctx)
		if subjects.CodeOf(err) == subjects.CodeNotFound {
			return time.UTC, nil
		}
		if err != nil {
			return nil, err
		}
		name = contact.TimeZone
	}
	if zone, err := subjects.LoadTimeZone(name); err == nil {
		return zone, nil
	}
	return time.UTC, nil
}

// decision is what the pipeline decides about a delivery before an attempt: to go on where status is pending, otherwise to suppress, defer
// or batch it.
type decision struct {
	status string
	reason reason
	// until is when a deferred delivery is released.
	until time.Time
	// batch is what a batched one is collected into.
	batch collection
}

var proceed = decision{status: statusPending}

func suppress(why reason) decision { return decision{status: statusSuppressed, reason: why} }

// collection says how an item is collected.
type collection struct {
	key      string
	digest   bool
	maxItems int
	window   time.Duration
	// latest is when the batch is sent in any case, if this is its first item.
	latest time.Time
}

// decide applies the preference and its condition, quiet hours and windows, and batching, in this order. Consent is checked around it
// (permitted), the recipient's rate when an attempt is claimed. What is collected for a digest is not held back by quiet hours; the digest is.
func (pl *pipeline) decide(ctx context.Context, n notificationRow, ch string, p preferences, to *recipientContact) (decision, error) {
	preference, now := p.of(n.Category, ch), pl.Now()
	if preference.Mode == subjects.PreferenceOff {
		return suppress(reasonPreferenceOff), nil
	}
	if preference.Condition != "" && !n.IsBatch {
		c, err := pl.open(n)
		if err != nil {
			return decision{}, err
		}
		if !conditionMet(preference.Condition, n.Category, ch, c.Data, now) {
			return suppress(reasonCondition), nil
		}
	}
	digest := preference.Mode == subjects.PreferenceDigest && !n.IsBatch
	timed := p.timed(n.Category, ch)
	zone := time.UTC
	if digest || timed {
		var err error
		if zone, err = to.zone(ctx, p); err != nil {
			return decision{}, err
		}
	}
	if digest {
		return decision{status: statusBatched, reason: reasonDigest, batch: collection{
			digest: true, maxItems: maxBatchItems, latest: p.nextDigest(now, zone),
		}}, nil
	}
	if timed {
		if d, held := held(p.rules(zone), now); held {
			return d, nil
		}
	}
	if n.Batching == "" || n.IsBatch {
		return proceed, nil
	}
	var b subjects.NotificationBatch
	if err := json.Unmarshal([]byte(n.Batching), &b); err != nil {
		return decision{}, fmt.Errorf("decoding how a notification is collected: %w", err)
	}
	return decision{status: statusBatched, reason: reasonBatch, batch: collectionOf(b, now)}, nil
}

// held returns the deferral of what may not be sent now.
func held(rules timing.Rules, now time.Time) (decision, bool) {
	d := decision{status: statusDeferred}
	switch rules.At(now) {
	case timing.Allowed:
		return proceed, false
	case timing.Quiet:
		d.reason = reasonQuietHours
	case timing.Outside:
		d.reason = reasonOutsideWindows
	}
	d.until = rules.Next(now)
	return d, d.until.After(now)
}

const (
	// maxBatchItems bounds the items of a batch, maxBatchBytes the sum of their sizes; one more begins the next batch.
	maxBatchItems = 100
	maxBatchBytes = 300 << 10
	// defaultWaits is the default of max_wait in windows, maxDefaultWait its bound.
	defaultWaits   = 10
	maxDefaultWait = 24 * time.Hour
)

// collectionOf applies the defaults of a batch.
func collectionOf(b subjects.NotificationBatch, now time.Time) collection {
	c := collection{key: b.Key, maxItems: b.MaxItems, window: time.Duration(b.Window) * time.Second}
	if c.maxItems == 0 {
		c.maxItems = maxBatchItems
	}
	wait := time.Duration(b.MaxWait) * time.Second
	if wait == 0 {
		wait = max(c.window, min(defaultWaits*c.window, maxDefaultWait))
	}
	c.latest = now.Add(wait)
	return c
}

// apply gives a delivery the state of a decision that is neither to go on nor to batch it. One that a device has got is delivered where it is
// suppressed or cancelled for the others.
func (d deliveryRow) apply(v decision, now time.Time) deliveryRow {
	d.Status, d.Reason, d.UpdatedAt, d.NextAttemptAt = v.status, v.reason, now.UnixMicro(), 0
	if d.AcceptedAt != 0 && d.final() {
		return d.delivered()
	}
	if v.status == statusDeferred {
		d.NextAttemptAt = v.until.UnixMicro()
		if v.reason != reasonThrottled {
			d.SlotAt = 0
		}
	}
	return d
}

// addresses returns the recipient's addresses for a channel; none where the recipient has none.
func (pl *pipeline) addresses(ctx context.Context, to *recipientContact, ch string) ([]channel.Address, error) {
	switch ch {
	case channel.Email:
		contact, err := to.get(ctx)
		if err != nil || contact.Email == "" {
			return nil, err
		}
		return []channel.Address{{To: contact.Email}}, nil
	case channel.SMS:
		return pl.seams.phones(ctx, to.userID)
	case channel.Push:
		return pl.seams.devices(ctx, to.userID)
	}
	return nil, nil
}
