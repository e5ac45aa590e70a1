package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// Deliveries returns deliveries, newest first, with their last attempts, and the cursor of the next page; "" if there is none. A page with
// long answers has fewer deliveries than its limit. The error
// is CodeInvalid for a cursor that no page had.
func (d *Dispatcher) Deliveries(ctx context.Context, q Query) (page []Delivery, next string, err error) {
	key, err := actors.DecodeCursor(q.Cursor, 1)
	if err != nil {
		return nil, "", err
	}
	limit := min(cmp.Or(max(q.Limit, 0), defaultPage), maxPage)
	rows, err := d.store.list(ctx, q, key[0], limit+1)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = actors.EncodeCursor(rows[limit-1].ID)
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	attempts, err := d.store.attempts(ctx, ids, maxLog)
	if err != nil {
		return nil, "", err
	}
	logs, err := d.logs(attempts)
	if err != nil {
		return nil, "", err
	}
	page = make([]Delivery, 0, len(rows))
	size := 0
	for i, row := range rows {
		d := row.delivery(logs[row.ID])
		if size += encodedSize(d); size > maxPageBytes && i > 0 {
			return page, actors.EncodeCursor(rows[i-1].ID), nil
		}
		page = append(page, d)
	}
	return page, next, nil
}

// encodedSize is about the size of a delivery in a reply, in bytes.
func encodedSize(d Delivery) int {
	size := 512
	for _, a := range d.Log {
		answer, _ := subjects.Encode(a.Answer) // a string cannot fail to be encoded
		size += 192 + len(a.Error) + len(answer)
	}
	return size
}

// Pages of Deliveries.
const (
	defaultPage = 20
	maxPage     = 100
	maxLog      = 50
	// maxPageBytes is where a page ends before it has as many deliveries as it may: a reply has at most a megabyte.
	maxPageBytes = 768 << 10
)

// logs opens attempts and groups them by delivery, oldest first. rows are newest first.
func (d *Dispatcher) logs(rows []attemptRow) (map[string][]Attempt, error) {
	logs := map[string][]Attempt{}
	for i := len(rows) - 1; i >= 0; i-- {
		row := rows[i]
		a := Attempt{
			Number: row.Number, StartedAt: time.UnixMicro(row.StartedAt).UTC(), Duration: time.Duration(row.Duration) * time.Microsecond,
			Status: row.Status, Error: row.Error,
		}
		if len(row.Answer) > 0 {
			answer, err := d.o.Sealer.Open(row.Answer, answerContext(row.DeliveryID, row.ID))
			if err != nil {
				return nil, fmt.Errorf("opening an answer: %w", err)
			}
			a.Answer = string(answer)
		}
		logs[row.DeliveryID] = append(logs[row.DeliveryID], a)
	}
	return logs, nil
}

func (r deliveryRow) delivery(log []Attempt) Delivery {
	d := Delivery{
		ID: r.ID, EndpointID: r.EndpointID, UserID: r.UserID, EventID: r.EventID, Type: r.Type, Status: r.Status, Attempts: r.Attempts,
		CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), Log: log,
	}
	if r.Status == StatusPending {
		d.NextAttemptAt = time.UnixMicro(r.NextAttemptAt).UTC()
	}
	if r.FinishedAt > 0 {
		d.FinishedAt = time.UnixMicro(r.FinishedAt).UTC()
	}
	return d
}

// Replay makes finished deliveries of an endpoint due again, with a new schedule and the same webhook-id, and returns their number. Those
// of a disabled endpoint are kept.
func (d *Dispatcher) Replay(ctx context.Context, tx database.Tx, endpointID string, f Filter) (count int, err error) {
	if len(f.IDs) > MaxReplay {
		return 0, subjects.InvalidField("ids", "at most %d deliveries can be replayed at a time", MaxReplay)
	}
	if f.Limit <= 0 || f.Limit > MaxReplay {
		f.Limit = MaxReplay
	}
	f.Status = cmp.Or(f.Status, StatusFailed)
	if f.Status != StatusFailed && f.Status != StatusSucceeded {
		return 0, subjects.InvalidField("status", "only deliveries that have succeeded or failed can be replayed")
	}
	count, err = d.store.replay(ctx, tx, endpointID, f, d.o.Now())
	if err == nil && count > 0 {
		d.wakeAfterCommit(ctx, endpointID)
	}
	return count, err
}

// Resume makes the kept deliveries of an endpoint due, in the order in which they were added. Call it in the transaction that enables the
// endpoint. It changes a bounded number in tx; Run changes the others.
func (d *Dispatcher) Resume(ctx context.Context, tx database.Tx, endpointID string) error {
	n, err := d.store.resume(ctx, tx, endpointID, d.o.Now(), upkeepBatch)
	if err != nil {
		return err
	}
	d.o.DB.AfterCommit(ctx, func() {
		d.Forget(endpointID)
		if n > 0 {
			d.scheduler.wake(endpointID)
			if q := d.scheduler.get(endpointID); q != nil {
				d.scheduler.setKeptChecked(false, q)
			}
			d.load.Notify()
		}
	})
	return nil
}

// DeleteEndpoint deletes the deliveries of an endpoint with their attempts, and the events that have no other delivery.
func (d *Dispatcher) DeleteEndpoint(ctx context.Context, tx database.Tx, endpointID string) error {
	d.o.DB.AfterCommit(ctx, func() { d.Forget(endpointID) })
	return d.store.deleteEndpoint(ctx, tx, endpointID)
}

// DeleteUsers deletes all events and deliveries of users.
func (d *Dispatcher) DeleteUsers(ctx context.Context, tx database.Tx, userIDs []string) error {
	return d.store.deleteUsers(ctx, tx, userIDs)
}
