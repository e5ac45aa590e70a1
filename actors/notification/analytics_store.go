package notification

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// countStore holds the queries of counts.
type countStore struct{ db *database.DB }

// countRow counts the outcomes of the messages of a day.
type countRow struct {
	bun.BaseModel `bun:"table:notification_counts"`

	UserID     string `bun:"user_id,pk"`
	Day        int64  `bun:"day,pk"`
	Channel    string `bun:"channel,pk"`
	Category   string `bun:"category,pk"`
	Template   string `bun:"template,pk"`
	Sent       int64  `bun:"sent"`
	Delivered  int64  `bun:"delivered"`
	Failed     int64  `bun:"failed"`
	Suppressed int64  `bun:"suppressed"`
	Opened     int64  `bun:"opened"`
	Clicked    int64  `bun:"clicked"`
}

// totalShards is the number of rows over which the counts of all users are spread.
const totalShards = 16

// totals are the user ids of these rows.
var totals = func() (ids [totalShards]string) {
	for i := range ids {
		ids[i] = fmt.Sprintf("#%02d", i)
	}
	return ids
}()

// totalOf is the user id under which the counts of a user are added to those of all.
func totalOf(userID string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(userID))
	return totals[h.Sum32()%totalShards]
}

// addCounts adds counts to a user's and to those of all.
func (countStore) addCounts(ctx context.Context, tx bun.Tx, c countRow) error {
	total := c
	total.UserID = totalOf(c.UserID)
	rows := []countRow{c, total}
	q := tx.NewInsert().Model(&rows).On("CONFLICT (user_id, day, channel, category, template) DO UPDATE").Returning("NULL")
	for _, column := range []string{"sent", "delivered", "failed", "suppressed", "opened", "clicked"} {
		q.Set("? = ?TableAlias.? + EXCLUDED.?", bun.Ident(column), bun.Ident(column), bun.Ident(column))
	}
	_, err := q.Exec(ctx)
	return wrapped(err, "counting deliveries")
}

// counts sums counts of a user, or of all where userID is empty, by columns, the latest day first; at most limit rows.
func (s countStore) counts(ctx context.Context, userID string, by []string, r analyticsRange, limit int) ([]countRow, error) {
	var rows []countRow
	q := s.db.NewSelect().Model(&rows).Where("day BETWEEN ? AND ?", r.since, r.until).Limit(int64(limit))
	if userID == "" {
		q.Where("user_id IN (?)", bun.List(totals[:])) // no range: the database may order by a language's rules
	} else {
		q.Where("user_id = ?", userID)
	}
	for _, column := range by {
		q.ColumnExpr("?", bun.Ident(column)).GroupExpr("?", bun.Ident(column))
		if column == "day" {
			q.OrderExpr("day DESC")
		} else {
			q.OrderExpr("?", bun.Ident(column))
		}
	}
	for _, column := range []string{"sent", "delivered", "failed", "suppressed", "opened", "clicked"} {
		q.ColumnExpr("CAST(coalesce(sum(?), 0) AS BIGINT) AS ?", bun.Ident(column), bun.Ident(column))
	}
	return rows, wrapped(q.Scan(ctx), "summing counts of deliveries")
}

// deleteCounts deletes the counts of days before one.
func (countStore) deleteCounts(ctx context.Context, tx bun.Tx, before int64) error {
	_, err := tx.NewDelete().Model((*countRow)(nil)).Where("day < ?", before).Exec(ctx)
	return wrapped(err, "deleting old counts of deliveries")
}

// markOpened records the first time that a message was opened or clicked. It reports whether it was the first.
func (countStore) markOpened(ctx context.Context, tx bun.Tx, d deliveryRow, column string, now time.Time) (bool, error) {
	result, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("? = ?", bun.Ident(column), now.UnixMicro()).
		Where("notification_id = ?", d.NotificationID).Where("channel = ?", d.Channel).Where("? = 0", bun.Ident(column)).Exec(ctx)
	if err != nil {
		return false, wrapped(err, "recording that a message was opened")
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// resource is a row as get_analytics returns it.
func (c countRow) resource(daily bool) subjects.NotificationCounts {
	r := subjects.NotificationCounts{
		Channel: c.Channel, Category: c.Category, Template: c.Template,
		Sent: c.Sent, Delivered: c.Delivered, Failed: c.Failed, Suppressed: c.Suppressed, Opened: c.Opened, Clicked: c.Clicked,
	}
	if daily {
		r.Day = dayText(c.Day)
	}
	return r
}
