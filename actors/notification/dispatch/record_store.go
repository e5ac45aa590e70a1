package dispatch

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// change is what an attempt, or the refusal of one, changes in its delivery.
type change struct {
	endpointID, id string
	// status is the delivery's state; StatusPending for another attempt at next.
	status string
	// attempts is the number of attempts after this one, made whether this was one.
	attempts int
	made     bool
	next     int64
	finished int64
	attempt  attemptRow
}

// record stores attempts and what they change. A delivery is only changed where it is as it was when the attempt was started, or where
// it has succeeded: what another process has recorded in the meantime is not undone. Attempts are logged in any case, unless their
// delivery was deleted. It returns which deliveries were changed.
func (s store) record(ctx context.Context, tx bun.Tx, changes []change) (changed map[string]bool, err error) {
	changed, err = s.update(ctx, tx, changes)
	if err != nil {
		return nil, err
	}
	var keys [][]string
	for _, c := range changes {
		if c.made && !changed[c.id] {
			keys = append(keys, []string{c.endpointID, c.id})
		}
	}
	exists := map[string]bool{}
	if len(keys) > 0 {
		var ids []string
		query := tx.NewSelect().Model((*deliveryRow)(nil)).Column("id").Where("(endpoint_id, id) IN (?)", tuples(keys))
		if err := query.Scan(ctx, &ids); err != nil {
			return nil, fmt.Errorf("reading deliveries: %w", err)
		}
		for _, id := range ids {
			exists[id] = true
		}
	}
	rows := make([]attemptRow, 0, len(changes))
	for _, c := range changes {
		if c.made && (changed[c.id] || exists[c.id]) {
			rows = append(rows, c.attempt)
		}
	}
	return changed, s.log(ctx, tx, rows)
}

// log stores attempts.
func (s store) log(ctx context.Context, tx bun.Tx, rows []attemptRow) error {
	if len(rows) == 0 {
		return nil
	}
	if s.db.Dialect() == database.DialectPostgres {
		if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("logging attempts: %w", err)
		}
		return nil
	}
	err := each(ctx, tx, "INSERT INTO webhook_attempts (delivery_id, id, number, started_at, duration, status, error, answer) VALUES (?,?,?,?,?,?,?,?)",
		rows, func(a attemptRow) []any {
			return []any{a.DeliveryID, a.ID, a.Number, a.StartedAt, a.Duration, a.Status, a.Error, a.Answer}
		}, func(attemptRow, int64) {})
	if err != nil {
		return fmt.Errorf("logging attempts: %w", err)
	}
	return nil
}

// each runs one prepared statement for each row. On SQLite, that takes a third of the time of one statement for all rows, which is
// parsed anew.
func each[T any](ctx context.Context, tx bun.Tx, query string, rows []T, args func(T) []any, affected func(T, int64)) error {
	statement, err := tx.Tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }()
	for _, row := range rows {
		result, err := statement.ExecContext(ctx, args(row)...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		affected(row, n)
	}
	return nil
}

// updateSet are the new values of a delivery, from the status, number of attempts, time of the next and time of the end of a change.
const updateSet = `next_attempt_at = %[3]s, finished_at = %[4]s, attempts = CASE WHEN d.attempts > %[2]s THEN d.attempts ELSE %[2]s END,
	status = CASE WHEN %[1]s = 'pending' THEN d.status ELSE %[1]s END`

// update applies changes, and returns the ids of the deliveries that it changed.
func (s store) update(ctx context.Context, tx bun.Tx, changes []change) (changed map[string]bool, err error) {
	changed = make(map[string]bool, len(changes))
	if s.db.Dialect() == database.DialectPostgres {
		err = s.updateAll(ctx, tx, changes, changed)
	} else {
		query := "UPDATE webhook_deliveries AS d SET " + fmt.Sprintf(updateSet, "?1", "?2", "?3", "?4") +
			" WHERE d.endpoint_id = ?5 AND d.id = ?6 AND d.status IN ('pending', 'kept') AND (d.attempts = ?2 - ?7 OR ?1 = 'succeeded')"
		err = each(ctx, tx, query, changes, func(c change) []any {
			return []any{c.status, c.attempts, c.next, c.finished, c.endpointID, c.id, c.madeNumber()}
		}, func(c change, n int64) {
			if n > 0 {
				changed[c.id] = true
			}
		})
	}
	if err != nil {
		return nil, fmt.Errorf("recording attempts: %w", err)
	}
	return changed, nil
}

func (c change) madeNumber() int {
	if c.made {
		return 1
	}
	return 0
}

// updateAll applies changes in one statement, on PostgreSQL.
func (store) updateAll(ctx context.Context, tx bun.Tx, changes []change, changed map[string]bool) error {
	var query strings.Builder
	args := make([]any, 0, 7*len(changes))
	query.WriteString("WITH v(endpoint, delivery, outcome, made, number, next_at, finished) AS (VALUES ")
	for i, c := range changes {
		if i > 0 {
			query.WriteByte(',')
		}
		query.WriteString("(?,?,?,?,?,?,?)")
		args = append(args, c.endpointID, c.id, c.status, c.madeNumber(), c.attempts, c.next, c.finished)
	}
	query.WriteString(`) UPDATE webhook_deliveries AS d SET ` + fmt.Sprintf(updateSet, "v.outcome", "v.number", "v.next_at", "v.finished") + ` FROM v
		WHERE d.endpoint_id = v.endpoint AND d.id = v.delivery AND d.status IN ('pending', 'kept')
		AND (d.attempts = v.number - v.made OR v.outcome = 'succeeded') RETURNING d.id`)
	var ids []string
	if err := tx.NewRaw(query.String(), args...).Scan(ctx, &ids); err != nil {
		return err
	}
	for _, id := range ids {
		changed[id] = true
	}
	return nil
}
