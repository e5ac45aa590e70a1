package notification

import (
	"context"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxCounts bounds the rows of an answer.
	maxCounts = 2000
	// maxAnalyticsDays bounds the days of a request, defaultAnalyticsDays is its default.
	maxAnalyticsDays     = 366
	defaultAnalyticsDays = 30
	// countsKept is how many days counts are kept.
	countsKept = 400
	// countsSweep is the interval between two deletions of old counts.
	countsSweep = time.Hour
)

// analyticsRange are days since the Unix epoch, both included.
type analyticsRange struct{ since, until int64 }

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

func dayText(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }

// rangeOf returns the days of a request.
func rangeOf(since, until string, now time.Time) (analyticsRange, error) {
	r := analyticsRange{until: dayOf(now)}
	for field, text := range map[string]string{"since": since, "until": until} {
		if text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return r, subjects.InvalidField(field, "is not a date such as 2026-11-30")
		}
		if field == "until" {
			r.until = dayOf(at)
		} else {
			r.since = dayOf(at)
		}
	}
	if since == "" {
		r.since = r.until - defaultAnalyticsDays + 1
	}
	if r.since > r.until || r.until-r.since >= maxAnalyticsDays {
		return r, subjects.InvalidField("since", "must be at most %d days before until", maxAnalyticsDays-1)
	}
	return r, nil
}

// getAnalytics sums the outcomes of the caller's messages, or for an admin of those of all users.
func (a *Actor) getAnalytics(ctx context.Context, r subjects.NotificationAnalyticsRequest) (subjects.NotificationAnalytics, error) {
	none := subjects.NotificationAnalytics{}
	caller := actors.CallerFrom(ctx)
	userID := caller.UserID
	if r.All {
		if !caller.HasRole(subjects.RoleAdmin) {
			return none, subjects.Errorf(subjects.CodeForbidden, "only an admin may see the counts of all users")
		}
		userID = ""
	}
	days, err := rangeOf(r.Since, r.Until, a.Now())
	if err != nil {
		return none, err
	}
	by := r.GroupBy
	if len(by) == 0 {
		by = []string{"day", "channel", "category"}
	}
	rows, err := countStore{a.DB}.counts(ctx, userID, by, days, maxCounts+1)
	if err != nil {
		return none, err
	}
	if len(rows) > maxCounts {
		return none, subjects.InvalidField("since", "the days have more than %d rows: ask for fewer, or group by less", maxCounts)
	}
	answer := subjects.NotificationAnalytics{Since: dayText(days.since), Until: dayText(days.until), Items: make([]subjects.NotificationCounts, len(rows))}
	for i, row := range rows {
		answer.Items[i] = row.resource(slices.Contains(by, "day"))
	}
	return answer, nil
}

// counts returns the row of a day that counts a delivery, without counts.
func (d deliveryRow) counts(now time.Time) countRow {
	return countRow{UserID: d.UserID, Day: dayOf(now), Channel: d.Channel, Category: d.Category, Template: d.Template}
}

// tally counts a delivery that has come to its end.
func (pl *pipeline) tally(ctx context.Context, tx database.Tx, d deliveryRow) error {
	c := d.counts(pl.Now())
	switch d.Status {
	case statusDelivered:
		c.Sent = 1
		if d.Channel == channel.InApp || d.Channel == channel.Webhook { // the other channels' providers report it
			c.Delivered = 1
		}
	case statusFailed:
		c.Failed = 1
	case statusSuppressed:
		c.Suppressed = 1
	default:
		return nil
	}
	return countStore{pl.DB}.addCounts(ctx, tx, c)
}

// reported counts what a provider reports of a message. Opens and clicks are counted once, and only for users who have switched that on.
func (pl *pipeline) reported(ctx context.Context, tx database.Tx, d deliveryRow, r providers.Feedback) error {
	c := d.counts(pl.Now())
	switch r.Kind {
	case providers.ReportDelivered:
		c.Delivered = 1
	case providers.ReportFailed:
		c.Failed = 1
	case providers.ReportOpened, providers.ReportClicked:
		p, err := pl.store.preferences(ctx, d.UserID)
		if err != nil || !p.Tracking {
			return err
		}
		column := "opened_at"
		if r.Kind == providers.ReportClicked {
			column, c.Clicked = "clicked_at", 1
		} else {
			c.Opened = 1
		}
		if first, err := (countStore{pl.DB}).markOpened(ctx, tx, d, column, pl.Now()); err != nil || !first {
			return err
		}
	default:
		return nil
	}
	return countStore{pl.DB}.addCounts(ctx, tx, c)
}

// deleteOldCounts deletes the counts of days that are no longer kept.
func (a *Actor) deleteOldCounts(ctx context.Context) error {
	return wait.Repeat(ctx, countsSweep, func(ctx context.Context) error {
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return countStore{a.DB}.deleteCounts(ctx, tx, dayOf(a.Now())-countsKept)
		})
	})
}
