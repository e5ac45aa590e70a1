package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// deleteUsers deletes everything of some users.
func (s store) deleteUsers(ctx context.Context, tx bun.Tx, userIDs []string) error {
	if len(userIDs) == 0 {
		return nil
	}
	if err := s.deleteDeliveries(ctx, tx, "user_id IN (?)", bun.List(userIDs)); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*eventRow)(nil)).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting events: %w", err)
	}
	return nil
}

// deleteEndpoint deletes the deliveries of an endpoint, and events that have no other.
func (s store) deleteEndpoint(ctx context.Context, tx bun.Tx, endpointID string) error {
	if err := s.deleteWithEvents(ctx, tx, "endpoint_id = ?", endpointID); err != nil {
		return err
	}
	if _, err := tx.NewRaw("DELETE FROM webhook_leases WHERE endpoint_id = ?", endpointID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a lease: %w", err)
	}
	return nil
}

// deleteDeliveries deletes the deliveries that match a condition, and their attempts.
func (s store) deleteDeliveries(ctx context.Context, tx bun.Tx, where string, args ...any) error {
	if err := s.lock(ctx, tx, where, args...); err != nil {
		return err
	}
	ids := tx.NewSelect().Model((*deliveryRow)(nil)).Column("id").Where(where, args...)
	if _, err := tx.NewDelete().Model((*attemptRow)(nil)).Where("delivery_id IN (?)", ids).Exec(ctx); err != nil {
		return fmt.Errorf("deleting attempts: %w", err)
	}
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where(where, args...).Exec(ctx); err != nil {
		return fmt.Errorf("deleting deliveries: %w", err)
	}
	return nil
}

// lock waits for the transactions that are recording attempts of the deliveries that match a condition: no attempt is left without
// its delivery.
func (s store) lock(ctx context.Context, tx bun.Tx, where string, args ...any) error {
	if s.db.Dialect() == database.DialectSQLite {
		return nil
	}
	locked := tx.NewSelect().Model((*deliveryRow)(nil)).ColumnExpr("1").Where(where, args...).For("UPDATE")
	var n int
	if err := tx.NewSelect().ColumnExpr("count(*)").TableExpr("(?) AS locked", locked).Scan(ctx, &n); err != nil {
		return fmt.Errorf("locking deliveries: %w", err)
	}
	return nil
}

// deleteBefore deletes deliveries that were created before a moment and are not pending, and events without a delivery; at most limit.
// It returns the number of deliveries.
func (s store) deleteBefore(ctx context.Context, tx bun.Tx, before time.Time, limit int) (int, error) {
	var old []deliveryRow
	query := tx.NewSelect().Model(&old).Column("endpoint_id", "id", "user_id", "event_id").Where("status <> 'pending'").
		Where("created_at < ?", before.UnixMicro()).OrderExpr("created_at").Limit(int64(limit))
	if s.db.Dialect() == database.DialectPostgres {
		query.For("UPDATE SKIP LOCKED")
	}
	if err := query.Scan(ctx); err != nil {
		return 0, fmt.Errorf("reading old deliveries: %w", err)
	}
	if len(old) == 0 {
		return 0, nil
	}
	ids, keys, events := make([]string, len(old)), make([][]string, len(old)), make([][]string, len(old))
	for i, row := range old {
		ids[i], keys[i], events[i] = row.ID, []string{row.EndpointID, row.ID}, []string{row.UserID, row.EventID}
	}
	if _, err := tx.NewDelete().Model((*attemptRow)(nil)).Where("delivery_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting old attempts: %w", err)
	}
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("(endpoint_id, id) IN (?)", tuples(keys)).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting old deliveries: %w", err)
	}
	left := tx.NewSelect().TableExpr("webhook_deliveries AS other").ColumnExpr("1").
		Where("other.user_id = webhook_events.user_id AND other.event_id = webhook_events.id")
	_, err := tx.NewRaw("DELETE FROM webhook_events WHERE (user_id, id) IN (?) AND NOT EXISTS (?)", tuples(events), left).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting old events: %w", err)
	}
	return len(old), nil
}

// drop deletes deliveries of an endpoint that does not exist, whatever their state; at most limit. It returns their number.
func (s store) drop(ctx context.Context, tx bun.Tx, endpointID string, limit int) (int, error) {
	var ids []string
	err := tx.NewSelect().Model((*deliveryRow)(nil)).Column("id").Where("endpoint_id = ?", endpointID).OrderExpr("endpoint_id, id").
		Limit(int64(limit)).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), s.deleteWithEvents(ctx, tx, "endpoint_id = ? AND id IN (?)", endpointID, bun.List(ids))
}

// deleteWithEvents deletes the deliveries that match a condition, their attempts, and events that have no other delivery.
func (s store) deleteWithEvents(ctx context.Context, tx bun.Tx, where string, args ...any) error {
	if err := s.lock(ctx, tx, where, args...); err != nil {
		return err
	}
	events := tx.NewSelect().Model((*deliveryRow)(nil)).Column("user_id", "event_id").Where(where, args...)
	others := tx.NewSelect().Model((*deliveryRow)(nil)).ColumnExpr("1").
		Where("user_id = webhook_events.user_id AND event_id = webhook_events.id").Where("NOT ("+where+")", args...)
	if _, err := tx.NewRaw("DELETE FROM webhook_events WHERE (user_id, id) IN (?) AND NOT EXISTS (?)", events, others).Exec(ctx); err != nil {
		return fmt.Errorf("deleting events: %w", err)
	}
	return s.deleteDeliveries(ctx, tx, where, args...)
}
