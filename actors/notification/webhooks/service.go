package webhooks

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

const (
	// cachedWebhooks is how many webhooks a process keeps in memory.
	cachedWebhooks = 10_000
	// openPacerWithin bounds the opening of the bucket of limits.
	openPacerWithin = 10 * time.Second
	// blockedWait is how long the deliveries of a blocked account wait before the account is looked at again.
	blockedWait = time.Minute
)

// Service delivers the events of users to their webhooks.
type Service struct {
	actors.Deps
	config     Config
	store      webhookStore
	secrets    webhookSecrets
	conditions *conditions
	bounds     *webhookBounds
	metrics    webhookMetrics
	client     *egress.Client
	dispatcher *dispatch.Dispatcher
	pacer      *kv.Pacer
	// groups has which webhooks receive what, by group of users; rows has webhooks by id.
	groups *database.RowCache[map[string][]webhookRoute]
	rows   *database.RowCache[webhookRow]
	// inform accepts a notification to the owner of a webhook. reserve refuses what exceeds a bound of a user.
	inform  Inform
	reserve func(ctx context.Context, tx database.Tx, b *quota.Bound, userID string, amount int64) error
}

// Inform accepts an in-app notification to a user, which is a template's text. It must not be called in a transaction. A second one with the same
// key is not sent.
type Inform func(ctx context.Context, key, userID, templateID string, data map[string]string) error

// Connect gives the service what it needs of the actor, before it serves anything.
func (w *Service) Connect(inform Inform, quotas *quota.Quotas) {
	w.inform, w.reserve = inform, quotas.Reserve
}

// webhookRoute says which events a webhook receives.
type webhookRoute struct {
	id        string
	events    []string
	condition string
}

// New makes the service of an actor. Connect must follow.
func New(d actors.Deps, c Config) (*Service, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openPacerWithin)
	defer cancel()
	pacer, err := kv.OpenPacer(ctx, d.Conn.JS, kv.NotificationLimits)
	if err != nil {
		return nil, fmt.Errorf("opening the limits of webhooks: %w", err)
	}
	client, err := egress.New(egress.Options{Allow: slices.Clone[[]netip.Prefix](d.EgressAllow), AllowHTTP: d.EgressAllowHTTP})
	if err != nil {
		return nil, err
	}
	w := &Service{
		Deps: d, config: c, store: webhookStore{db: d.DB}, secrets: webhookSecrets{sealer: d.Sealer}, conditions: newConditions(),
		bounds: newWebhookBounds(d, c), metrics: newWebhookMetrics(d.Metrics), client: client, pacer: pacer,
		groups: database.NewRowCache[map[string][]webhookRoute](d.DB, "webhook_groups", webhookGroups),
		rows:   database.NewRowCache[webhookRow](d.DB, "webhooks", cachedWebhooks),
	}
	w.dispatcher, err = dispatch.New(dispatch.Options{
		DB: d.DB, Sealer: d.Sealer, Log: d.Log, Metrics: d.Metrics, Now: d.Now, NewID: d.NewID, Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP,
		Endpoint: w.endpoint, Take: w.take, Record: w.record,
	})
	return w, err
}

// routes returns the webhooks of a user. Of a user without webhooks it is cached, too.
func (w *Service) routes(ctx context.Context, userID string) ([]webhookRoute, error) {
	group := webhookGroup(userID)
	users, err := w.groups.Get(ctx, group, func(ctx context.Context) (map[string][]webhookRoute, error) {
		rows, err := w.store.group(ctx, group)
		if err != nil {
			return nil, err
		}
		users := make(map[string][]webhookRoute, len(rows))
		for _, row := range rows {
			users[row.UserID] = append(users[row.UserID], webhookRoute{id: row.ID, events: strings.Fields(row.Events), condition: row.Condition})
		}
		return users, nil
	})
	return users[userID], err
}

// row returns a webhook, or errNoWebhook.
func (w *Service) row(ctx context.Context, id string) (webhookRow, error) {
	return w.rows.Get(ctx, id, func(ctx context.Context) (webhookRow, error) { return w.store.byID(ctx, id) })
}

// endpoint is dispatch.Options.Endpoint.
func (w *Service) endpoint(ctx context.Context, id string) (dispatch.Endpoint, error) {
	row, err := w.row(ctx, id)
	if err != nil {
		return dispatch.Endpoint{}, err
	}
	return w.target(row)
}

// target returns what a delivery needs of a webhook.
func (w *Service) target(row webhookRow) (dispatch.Endpoint, error) {
	secret, old, headers, err := w.secrets.open(row, w.Now())
	if err != nil {
		return dispatch.Endpoint{}, err
	}
	secrets := []string{secret}
	if old != "" {
		secrets = append(secrets, old)
	}
	return dispatch.Endpoint{
		ID: row.ID, UserID: row.UserID, URL: row.URL, Secrets: secrets, Ordered: row.Ordered, PerMinute: row.PerMinute,
		Schedule: schedules[row.Schedule], Enabled: row.Status == subjects.WebhookEnabled, Headers: headers,
	}, nil
}

// take is dispatch.Options.Take: it takes one of a webhook's attempts of the last minute, over all processes. The attempts of a blocked
// account wait until it is enabled again.
func (w *Service) take(ctx context.Context, e dispatch.Endpoint) (time.Duration, error) {
	if w.Guard.Blocked(e.UserID) {
		return blockedWait, nil
	}
	pace, err := w.pacer.Take(ctx, e.ID, e.PerMinute, time.Minute)
	if err != nil {
		return 0, fmt.Errorf("taking from the limit of a webhook: %w", err)
	}
	if !pace.Allowed {
		w.metrics.throttled.Inc()
		return max(pace.Wait, time.Millisecond), nil
	}
	return 0, nil
}

// record is dispatch.Options.Record: it keeps how webhooks fare, warns the owners of those that fail, and disables those that fail for too
// long or are gone.
func (w *Service) record(ctx context.Context, tx database.Tx, outcomes []dispatch.Outcome) error {
	outcomes = slices.Clone(outcomes)
	slices.SortStableFunc(outcomes, func(a, b dispatch.Outcome) int {
		return a.StartedAt.Add(a.Duration).Compare(b.StartedAt.Add(b.Duration))
	})
	summaries := map[string]*attemptSummary{}
	ids := make([]string, 0, len(outcomes))
	for _, o := range outcomes {
		s := summaries[o.EndpointID]
		if s == nil {
			s = &attemptSummary{}
			summaries[o.EndpointID] = s
			ids = append(ids, o.EndpointID)
		}
		s.add(o)
	}
	slices.Sort(ids) // concurrent transactions change rows in the same order
	healths, err := w.store.health(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		health, ok := healths[id]
		if !ok { // deleted meanwhile
			continue
		}
		next, changed, follows := health.after(*summaries[id], w.Now(), w.config.DisableAfter)
		if changed {
			if err := w.store.recordHealth(ctx, tx, next); err != nil {
				return err
			}
		}
		if err := w.follow(ctx, tx, next, follows); err != nil {
			return err
		}
	}
	return nil
}

// follow takes the step that a webhook's failures have led to. A job notifies the owner: it asks other actors and evaluates
// the conditions of the owner's other webhooks, which no transaction may wait for.
func (w *Service) follow(ctx context.Context, tx database.Tx, health webhookHealthRow, follows step) error {
	if follows == stepNone {
		return nil
	}
	row, err := w.store.byID(ctx, health.WebhookID)
	if err != nil || row.Status != subjects.WebhookEnabled {
		return ignoreNotFound(err)
	}
	if follows == stepWarn {
		return w.addReport(ctx, tx, subjects.WebhookTrouble{
			UserID: row.UserID, WebhookID: row.ID, Warning: health.Warnings, Status: row.Status, Reason: health.LastError,
			At: time.UnixMicro(health.FailingSince).UTC(),
		})
	}
	status, reason := follows.disabledReason(w.config.DisableAfter)
	now := w.Now()
	row.Status, row.DisabledReason, row.DisabledAt, row.UpdatedAt = status, reason, now.UnixMicro(), now.UnixMicro()
	if err := w.store.replace(ctx, tx, &row); err != nil {
		return err
	}
	w.forget(ctx, row.ID)
	w.DB.AfterCommit(ctx, func() {
		w.metrics.disabled.WithLabelValues(status).Inc()
		w.Log.Info("disabled a webhook", zap.String("webhook_id", row.ID), zap.String("reason", reason))
	})
	return w.addReport(ctx, tx, subjects.WebhookTrouble{
		UserID: row.UserID, WebhookID: row.ID, Status: status, Reason: reason, At: time.UnixMicro(row.DisabledAt).UTC(),
	})
}

// ignoreNotFound returns nil for a webhook that was deleted.
func ignoreNotFound(err error) error {
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return nil
	}
	return err
}

// DeleteUsers deletes the webhooks of some users and their deliveries. It returns how many webhooks there were.
func (w *Service) DeleteUsers(ctx context.Context, tx database.Tx, userIDs []string) (int64, error) {
	if err := w.dispatcher.DeleteUsers(ctx, tx, userIDs); err != nil {
		return 0, err
	}
	return w.store.deleteUsers(ctx, tx, userIDs)
}
