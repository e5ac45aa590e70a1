package workflow

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// correlation is a schedule on two events, with a correlator on its database that cannot start executions.
type correlation struct {
	*correlator

	row scheduleRow
	def *language.Workflow
}

func newCorrelation(t *testing.T, kind actortest.Database, maxInput int) correlation {
	t.Helper()
	def, faults := language.Parse([]byte(scheduleOn("{all: [{with: {type: a}}, {with: {type: b}}]}")))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	c := correlation{def: def, row: scheduleRow{ID: uuid.NewString(), UserID: uuid.NewString(), WorkflowID: uuid.NewString(), Kind: "on", Version: 1}}
	deps := actors.Deps{DB: kind.Open(t, "workflow", Migrations), Now: time.Now, NewID: uuid.NewString, Metrics: prometheus.NewRegistry()}
	config := Config{MaxInput: maxInput, MaxCorrelationBytesPerUser: 100_000}
	c.correlator = &correlator{Deps: deps, config: config, bounds: newBounds(deps, config)}
	c.inTx(t, func(ctx context.Context, tx database.Tx) error { return engine.Insert(ctx, tx, &c.row) })
	return c
}

func scheduleOn(on string) string {
	return "document: {dsl: '1.0.3', namespace: test, name: story, version: '0.1.0'}\nschedule: {on: " + on + "}\ndo:\n- a: {set: {x: 1}}\n"
}

func (c correlation) inTx(t *testing.T, do func(ctx context.Context, tx database.Tx) error) {
	t.Helper()
	if err := c.DB.RunInTx(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// consume adds an event and returns the ids of the correlations that it completes.
func (c correlation) consume(t *testing.T, kind, id, data string) (complete []string) {
	t.Helper()
	event := cloudEvent{"specversion": "1.0", "type": kind, "id": id, "source": "/test", "data": data}
	c.inTx(t, func(ctx context.Context, tx database.Tx) (err error) {
		complete, err = correlationUpdate{correlator: c.correlator, tx: tx, row: c.row, def: c.def, event: event}.consume(ctx)
		return err
	})
	return complete
}

// stored returns the correlations that are complete, or that are not.
func (c correlation) stored(t *testing.T, complete bool) []correlationRow {
	t.Helper()
	rows, err := correlationsOf(t.Context(), c.DB.DB, c.row.ID, complete, maxCorrelations+10)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestRepeatedEventIsConsumedOnce: a repeated event changes nothing, and completes again what it completed before, which may not
// have started.
func TestRepeatedEventIsConsumedOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := newCorrelation(t, kind, 1000)
		for range 2 {
			if complete := c.consume(t, "a", "1", "x"); len(complete) != 0 {
				t.Errorf("the first event completes %v", complete)
			}
		}
		if n := len(c.stored(t, false)); n != 1 {
			t.Errorf("one event, published twice, is in %d correlations", n)
		}
		first, again := c.consume(t, "b", "2", "y"), c.consume(t, "b", "2", "y")
		if len(first) != 1 || strings.Join(again, " ") != first[0] {
			t.Errorf("the second event completes %v, and published again %v", first, again)
		}
		if complete := c.consume(t, "c", "3", "z"); len(complete) != 0 || len(c.stored(t, false)) != 0 {
			t.Errorf("an event of another type completes %v", complete)
		}
		row, err := findSchedule(t.Context(), c.DB.DB, c.row.UserID, c.row.ID)
		if err != nil || row.WakeAt == 0 || row.Revision != 1 {
			t.Errorf("the schedule is due at %d with revision %d, want a pass that starts the execution: %v", row.WakeAt, row.Revision, err)
		}
	})
}

// TestLargeCorrelationIsAbandoned: events that are together larger than an input may be cannot start an execution.
func TestLargeCorrelationIsAbandoned(t *testing.T) {
	t.Parallel()
	c := newCorrelation(t, actortest.Databases(t)[0], 1000)
	complete := c.consume(t, "a", "1", strings.Repeat("x", 1000))
	rows := c.stored(t, true)
	if len(complete) != 1 || len(rows) != 1 || !strings.Contains(rows[0].Problem, "larger than 1000 bytes") {
		t.Errorf("completes %v, stored %+v", complete, rows)
	}
}

// TestOldestCorrelationIsAbandoned: a schedule with too many incomplete correlations abandons the oldest one for a new event.
func TestOldestCorrelationIsAbandoned(t *testing.T) {
	t.Parallel()
	c := newCorrelation(t, actortest.Databases(t)[0], 1000)
	c.inTx(t, func(ctx context.Context, tx database.Tx) error {
		for i := range maxCorrelations {
			err := putCorrelation(ctx, tx, correlationRow{
				ID: fmt.Sprintf("c%04d", i), ScheduleID: c.row.ID, UserID: c.row.UserID, Terms: correlationTerms(c.def), CreatedAt: int64(i + 1),
				State: `{"messages":["x"],"matched_filters":[0]}`,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if complete := c.consume(t, "a", "1", "x"); len(complete) != 0 {
		t.Errorf("the event completes %v", complete)
	}
	abandoned, open := c.stored(t, true), c.stored(t, false)
	if len(abandoned) != 1 || abandoned[0].ID != "c0000" || !strings.Contains(abandoned[0].Problem, "more than 1000") {
		t.Errorf("abandoned: %+v", abandoned)
	}
	if len(open) != maxCorrelations || strings.HasPrefix(open[len(open)-1].ID, "c0") {
		t.Errorf("%d correlations are incomplete, the newest is %+v", len(open), open[len(open)-1])
	}
}

// TestStaleCorrelations: correlations of a schedule with other terms are deleted, complete ones excepted.
func TestStaleCorrelations(t *testing.T) {
	t.Parallel()
	c := newCorrelation(t, actortest.Databases(t)[0], 1000)
	c.inTx(t, func(ctx context.Context, tx database.Tx) error {
		for id, complete := range map[string]bool{"open": false, "complete": true} {
			err := putCorrelation(ctx, tx, correlationRow{ID: id, ScheduleID: c.row.ID, UserID: c.row.UserID, Terms: "other", State: "{}", Complete: complete})
			if err != nil {
				return err
			}
		}
		return nil
	})
	c.consume(t, "a", "1", "x")
	if rows := c.stored(t, true); len(rows) != 1 || rows[0].ID != "complete" {
		t.Errorf("the complete correlations are %+v", rows)
	}
	if rows := c.stored(t, false); len(rows) != 1 || rows[0].ID == "open" {
		t.Errorf("the incomplete correlations are %+v, want only the new one", rows)
	}
}

// TestMayConsume: only events that match a filter, or end the collection, cost a transaction.
func TestMayConsume(t *testing.T) {
	t.Parallel()
	for on, want := range map[string]map[string]bool{
		"{all: [{with: {type: a}}, {with: {type: b}}]}":                 {"a": true, "b": true, "c": false},
		"{any: [{with: {type: a}}], until: {one: {with: {type: end}}}}": {"a": true, "end": true, "b": false},
	} {
		def, faults := language.Parse([]byte(scheduleOn(on)))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		for kind, may := range want {
			event := cloudEvent{"specversion": "1.0", "type": kind, "id": "1", "source": "/test"}
			if got := mayConsume(def, event, time.Now()); got != may {
				t.Errorf("%s: an event of type %s may be consumed: %v", on, kind, got)
			}
		}
	}
}

// TestCorruptCorrelation: a stored correlation that cannot be decoded is an error that names it.
func TestCorruptCorrelation(t *testing.T) {
	t.Parallel()
	if _, err := (correlationRow{ID: "c1", State: "{"}).state(); err == nil || !strings.Contains(err.Error(), "c1") {
		t.Errorf("decoded: %v", err)
	}
}

// TestCollectedEventsAreBounded collects events beyond the bytes that a user's schedules may collect: the oldest collection of the
// schedule is abandoned, and its events are dropped.
func TestCollectedEventsAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := newCorrelation(t, kind, 1<<20)
		for n := range 4 {
			c.consume(t, "a", strconv.Itoa(n), strings.Repeat("x", 30_000))
		}
		open, err := correlationsOf(t.Context(), c.DB.DB, c.row.ID, false, 10)
		if err != nil || len(open) != 3 {
			t.Fatalf("%d collections are open (%v), want 3", len(open), err)
		}
		abandoned, err := correlationsOf(t.Context(), c.DB.DB, c.row.ID, true, 10)
		if err != nil || len(abandoned) != 1 || abandoned[0].Bytes != 2 || !strings.Contains(abandoned[0].Problem, "workflow.max_correlation_bytes_per_user") {
			t.Fatalf("abandoned are %+v (%v)", abandoned, err)
		}
		if n, err := correlationBytes(t.Context(), c.DB.DB, c.row.UserID); err != nil || n > 100_000 {
			t.Errorf("%d bytes are collected (%v)", n, err)
		}
	})
}
