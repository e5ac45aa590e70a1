package dispatch

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// dueEndpoint is an endpoint with pending deliveries; Due is when the first of them is due.
type dueEndpoint struct {
	EndpointID string
	Due        int64
	// Taken means that another process has leased it.
	Taken bool
}

// next reads the endpoints with pending deliveries, in the order of their ids, after the id after; at most limit. It takes two index
// look-ups for each endpoint, however many deliveries are pending.
func (s store) next(ctx context.Context, owner, after string, limit int) (found []dueEndpoint, err error) {
	taken := "false"
	if s.db.Dialect() == database.DialectPostgres {
		taken = "EXISTS (SELECT 1 FROM webhook_leases AS l WHERE l.endpoint_id = q.endpoint_id AND l.owner <> ?3 AND l.lease_until >= " + clock + ")"
	}
	step := `SELECT (SELECT d.endpoint_id FROM webhook_deliveries AS d ?0 WHERE d.status = 'pending' AND d.endpoint_id > `
	order := ` ORDER BY d.endpoint_id, d.next_attempt_at, d.id LIMIT 1)`
	query := `WITH RECURSIVE q(endpoint_id) AS (` + step + `?1` + order + ` UNION ALL ` + step + `q.endpoint_id` + order +
		` FROM q WHERE q.endpoint_id IS NOT NULL)
		SELECT q.endpoint_id, (SELECT d.next_attempt_at FROM webhook_deliveries AS d ?0 WHERE d.status = 'pending' AND d.endpoint_id = q.endpoint_id` +
		order + ` AS due, ` + taken + ` AS taken FROM q WHERE q.endpoint_id IS NOT NULL LIMIT ?2`
	if err := s.db.NewRaw(query, s.index("webhook_deliveries_due"), after, limit, owner).Scan(ctx, &found); err != nil {
		return nil, fmt.Errorf("reading endpoints with pending deliveries: %w", err)
	}
	return found, nil
}

// loadColumns are the columns that an attempt needs.
const loadColumns = "d.endpoint_id, d.id, d.event_id, d.user_id, d.type, d.ordering, d.status, d.attempts, d.base, d.next_attempt_at"

// due selects deliveries of one endpoint that are due, after a position.
type due struct {
	endpointID string
	afterDue   int64
	afterID    string
	limit      int
	// unkeyed leaves out deliveries with an ordering key.
	unkeyed bool
}

// load reads due deliveries of several endpoints, each one's in the order in which they became due.
func (s store) load(ctx context.Context, now int64, wanted []due) (rows []deliveryRow, err error) {
	var query strings.Builder
	args := []any{s.index("webhook_deliveries_due"), now}
	for i, w := range wanted {
		if i > 0 {
			query.WriteString(" UNION ALL ")
		}
		n := len(args)
		fmt.Fprintf(&query, `SELECT * FROM (SELECT `+loadColumns+` FROM webhook_deliveries AS d ?0 WHERE d.status = 'pending' AND d.endpoint_id = ?%d
			AND d.next_attempt_at <= ?1 AND (d.next_attempt_at, d.id) > (?%d, ?%d)`, n, n+1, n+2)
		if w.unkeyed {
			query.WriteString(` AND d.ordering = ''`)
		}
		fmt.Fprintf(&query, ` ORDER BY d.endpoint_id, d.next_attempt_at, d.id LIMIT ?%d) AS q%d`, n+3, i)
		args = append(args, w.endpointID, w.afterDue, w.afterID, w.limit)
	}
	if rows, err = s.scan(ctx, query.String(), args...); err != nil {
		return nil, fmt.Errorf("reading due deliveries: %w", err)
	}
	return rows, nil
}

// scan reads loadColumns. It takes half the time of reading a model.
func (s store) scan(ctx context.Context, query string, args ...any) (list []deliveryRow, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r deliveryRow
		if err := rows.Scan(&r.EndpointID, &r.ID, &r.EventID, &r.UserID, &r.Type, &r.Ordering, &r.Status, &r.Attempts, &r.Base, &r.NextAttemptAt); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// heads reads the oldest unfinished delivery of each ordering key of an endpoint, in the order of the keys, after the key after; at most
// limit. They may be kept or not be due yet.
func (s store) heads(ctx context.Context, endpointID, after string, limit int) (rows []deliveryRow, err error) {
	step := `SELECT (SELECT d.ordering FROM webhook_deliveries AS d ?0 WHERE d.finished_at = 0 AND d.ordering <> '' AND d.endpoint_id = ?1 AND d.ordering > `
	order := ` ORDER BY d.endpoint_id, d.ordering, d.id LIMIT 1)`
	query := `WITH RECURSIVE k(ordering) AS (` + step + `?2` + order + ` UNION ALL ` + step + `k.ordering` + order +
		` FROM k WHERE k.ordering IS NOT NULL)
		SELECT ` + loadColumns + ` FROM (SELECT (SELECT d.id FROM webhook_deliveries AS d ?0 WHERE d.finished_at = 0 AND d.ordering <> ''
			AND d.endpoint_id = ?1 AND d.ordering = k.ordering` + order + ` AS id FROM k WHERE k.ordering IS NOT NULL LIMIT ?3) AS head
		JOIN webhook_deliveries AS d ON d.endpoint_id = ?1 AND d.id = head.id ORDER BY d.ordering`
	if rows, err = s.scan(ctx, query, s.index("webhook_deliveries_ordered"), endpointID, after, limit); err != nil {
		return nil, fmt.Errorf("reading the first deliveries of ordering keys: %w", err)
	}
	return rows, nil
}

// withKept returns those of some endpoints that have kept deliveries.
func (s store) withKept(ctx context.Context, endpointIDs []string) (found []string, err error) {
	rows := make([][]string, len(endpointIDs))
	for i, id := range endpointIDs {
		rows[i] = []string{id}
	}
	err = s.db.NewRaw(`WITH v(endpoint) AS (?0) SELECT v.endpoint FROM v WHERE EXISTS
		(SELECT 1 FROM webhook_deliveries AS d ?1 WHERE d.endpoint_id = v.endpoint AND d.status = 'kept')`,
		tuples(rows), s.index("webhook_deliveries_kept")).Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("reading endpoints with kept deliveries: %w", err)
	}
	return found, nil
}

// payloads reads the sealed payloads of events, given by user and id.
func (s store) payloads(ctx context.Context, events [][]string) (list []eventRow, err error) {
	if s.db.Dialect() == database.DialectSQLite {
		return s.payloadsOneByOne(ctx, events)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT user_id, id, payload FROM webhook_events WHERE (user_id, id) IN (?)", tuples(events))
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r eventRow
		if err := rows.Scan(&r.UserID, &r.ID, &r.Payload); err != nil {
			return nil, fmt.Errorf("reading events: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// payloadsOneByOne reads by a prepared statement, which on SQLite takes less time than one query for all.
func (s store) payloadsOneByOne(ctx context.Context, events [][]string) (list []eventRow, err error) {
	//nolint:sqlclosecheck // it is kept for the next reads; closing the database closes it
	statement, err := s.payload.get(ctx, s.db, "SELECT payload FROM webhook_events WHERE user_id = ? AND id = ?")
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	for _, key := range events {
		r := eventRow{UserID: key[0], ID: key[1]}
		err := statement.QueryRowContext(ctx, r.UserID, r.ID).Scan(&r.Payload)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading events: %w", err)
		}
		list = append(list, r)
	}
	return list, nil
}

// tuples is a list of rows of text, for IN: VALUES, which both dialects look up by index.
func tuples(rows [][]string) bun.Safe { return bun.Safe(valuesOf(rows)) }

func valuesOf(rows [][]string) string {
	var list strings.Builder
	list.WriteString("VALUES ")
	for i, row := range rows {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteByte('(')
		for j, value := range row {
			if j > 0 {
				list.WriteByte(',')
			}
			list.WriteByte('\'')
			list.WriteString(strings.ReplaceAll(value, "'", "''"))
			list.WriteByte('\'')
		}
		list.WriteByte(')')
	}
	return list.String()
}

// clock is PostgreSQL's clock in microseconds since the Unix epoch.
const clock = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

// lease takes or renews the leases of endpoints for owner and returns the endpoints whose lease it has. PostgreSQL only.
func (s store) lease(ctx context.Context, owner string, endpointIDs []string, micros int64) (got []string, err error) {
	endpointIDs = slices.Sorted(slices.Values(endpointIDs)) // one order of locks for all processes
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		got = nil
		var values strings.Builder
		args := []any{owner, micros}
		for i, id := range endpointIDs {
			if i > 0 {
				values.WriteByte(',')
			}
			fmt.Fprintf(&values, "(?%d, ?0, "+clock+" + ?1)", len(args))
			args = append(args, id)
		}
		return tx.NewRaw(`INSERT INTO webhook_leases AS l (endpoint_id, owner, lease_until) VALUES `+values.String()+`
			ON CONFLICT (endpoint_id) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
			WHERE l.owner = excluded.owner OR l.lease_until < `+clock+` RETURNING l.endpoint_id`, args...).Scan(ctx, &got)
	})
	if err != nil {
		return nil, fmt.Errorf("leasing endpoints: %w", err)
	}
	return got, nil
}

// release ends leases of owner. PostgreSQL only.
func (s store) release(ctx context.Context, owner string, endpointIDs []string) error {
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw("DELETE FROM webhook_leases WHERE owner = ? AND endpoint_id IN (?)", owner, bun.List(endpointIDs)).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("releasing endpoints: %w", err)
	}
	return nil
}

// pending counts the pending deliveries, up to limit.
func (s store) pending(ctx context.Context, limit int) (n int, err error) {
	some := s.db.NewSelect().TableExpr("webhook_deliveries AS d").ColumnExpr("1").Where("d.status = 'pending'").Limit(int64(limit))
	if err := s.db.NewSelect().ColumnExpr("count(*)").TableExpr("(?) AS counted", some).Scan(ctx, &n); err != nil {
		return 0, fmt.Errorf("counting pending deliveries: %w", err)
	}
	return n, nil
}

// releaseAll ends all leases of owner. PostgreSQL only.
func (s store) releaseAll(ctx context.Context, owner string) error {
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw("DELETE FROM webhook_leases WHERE owner = ?", owner).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("releasing endpoints: %w", err)
	}
	return nil
}
