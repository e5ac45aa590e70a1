package quota

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// The units of bounds.
const (
	Count = "count"
	Bytes = "bytes"
)

// Bound is a limit for each user.
type Bound struct {
	// Name is the setting, such as workflow.max_schedules_per_user.
	Name string
	// What is the plural of what is counted, for refusals: "schedules".
	What string
	// Unit is Count or Bytes.
	Unit string
	// Limit is the most that a user may have, or may do in a Period.
	Limit int64
	// Period is the length of the window of a rate; 0 if Limit bounds what is stored.
	Period time.Duration
	// Used reads what a user has; nil if that is counted elsewhere, or not by user.
	Used Counter
}

// Quotas are the bounds of one actor.
type Quotas struct {
	db       *database.DB
	refusals *prometheus.CounterVec
	bounds   []*Bound
}

// New registers the metric of refusals, for the bounds in the order in which List returns them.
func New(db *database.DB, registerer prometheus.Registerer, bounds ...*Bound) *Quotas {
	q := &Quotas{db: db, bounds: bounds, refusals: Refusals(registerer)}
	for _, b := range bounds {
		q.refusals.WithLabelValues(b.Name)
	}
	return q
}

// Refusals registers the metric of refusals. The actors of a process share it.
func Refusals(registerer prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_limit_refusals_total", Help: "Requests refused because a user has reached a bound, by bound.",
	}, []string{"bound"})
	var registered prometheus.AlreadyRegisteredError
	if err := registerer.Register(counter); errors.As(err, &registered) {
		if shared, ok := registered.ExistingCollector.(*prometheus.CounterVec); ok {
			return shared
		}
	}
	return counter
}

// Reserve checks that a user may have adding more of what the bound counts. The transaction must add them after it. Until the
// transaction ends, other transactions that reserve for the same user and bound wait. The error is Refuse's.
func (q *Quotas) Reserve(ctx context.Context, tx database.Tx, b *Bound, userID string, adding int64) error {
	if err := q.lock(ctx, tx, b.Name+" "+userID); err != nil {
		return err
	}
	used, err := b.Used(ctx, tx, userID)
	if err != nil {
		return err
	}
	if used+adding > b.Limit {
		return q.Refuse(b)
	}
	return nil
}

// Refuse counts a refusal and returns its error: CodeRateLimited with ReasonLimitReached.
func (q *Quotas) Refuse(b *Bound) error { return q.RefuseFor(b, 0) }

// RefuseFor is Refuse, with the time after which a retry makes sense.
func (q *Quotas) RefuseFor(b *Bound, retryAfter time.Duration) error {
	q.refusals.WithLabelValues(b.Name).Inc()
	return b.Exceeded(retryAfter)
}

// Exceeded returns the error of a refusal, with the time after which a retry makes sense, if that is known.
func (b *Bound) Exceeded(retryAfter time.Duration) error {
	text := fmt.Sprintf("a user may have at most %d %s (%s)", b.Limit, b.What, b.Name)
	if b.Period > 0 {
		text = fmt.Sprintf("a user may have at most %d %s in %s (%s)", b.Limit, b.What, b.Period, b.Name)
	}
	return &subjects.Error{Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached, Detail: text, RetryAfter: retryAfter}
}

// List returns the bounds with what a user has of each.
func (q *Quotas) List(ctx context.Context, userID string) (subjects.UserLimits, error) {
	list := make([]subjects.UserLimit, 0, len(q.bounds))
	for _, b := range q.bounds {
		item := subjects.UserLimit{Name: b.Name, Description: b.What, Unit: b.Unit, Limit: b.Limit, Period: int(b.Period / time.Second)}
		if b.Used != nil {
			used, err := b.Used(ctx, q.db.DB, userID)
			if err != nil {
				return subjects.UserLimits{}, err
			}
			item.Used = &used
		}
		list = append(list, item)
	}
	return subjects.UserLimits{Items: list}, nil
}
