package workflow

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// TestMissingRows: each query for one row returns its sentinel, whatever the noun.
func TestMissingRows(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "workflow", Migrations)
		ctx, none := t.Context(), "01a228f5-789d-7d90-aabd-6c5b90ea70ce"
		for want, query := range map[*subjects.Error]func() error{
			errNoWorkflow: func() error { _, err := findWorkflow(ctx, db.DB, none, none); return err },
			errNoVersion:  func() error { _, err := findVersion(ctx, db.DB, none, 1); return err },
			errNoSchedule: func() error { _, err := findSchedule(ctx, db.DB, none, none); return err },
			errNoApproval: func() error { _, err := findApproval(ctx, db.DB, none); return err },
			errNoFailure:  func() error { _, err := findRefusedStart(ctx, db.DB, none, none); return err },
			errNoSecret: func() error {
				return db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deleteSecret(ctx, tx, none, "key") })
			},
		} {
			var coded *subjects.Error
			if err := query(); !errors.As(err, &coded) || coded != want || !engine.IsNotFound(err) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		_, _, err := findWorkflowByName(ctx, db.DB, none, "test", "story", "1.2.3")
		if !engine.IsNotFound(err) || !strings.Contains(err.Error(), "test.story:1.2.3") {
			t.Errorf("by name: %v", err)
		}
		if _, found, err := findCorrelatedEvent(ctx, db.DB, correlatedEventRow{ScheduleID: none, Event: "a"}); err != nil || found {
			t.Errorf("a correlated event: %v, %v", found, err)
		}
	})
}

// TestStoreErrors: a query whose database fails returns a wrapped error that says what it was doing, and none that a caller takes
// for a missing row.
func TestStoreErrors(t *testing.T) {
	t.Parallel()
	db := actortest.Databases(t)[0].Open(t, "workflow", Migrations)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	now := time.Now()
	for doing, query := range map[string]func() error{
		"reading a workflow":              func() error { _, err := findWorkflow(ctx, db.DB, "u", "w"); return err },
		"reading a version of a workflow": func() error { _, err := findVersion(ctx, db.DB, "w", 1); return err },
		"reading a workflow by name":      func() error { _, _, err := findWorkflowByName(ctx, db.DB, "u", "n", "w", ""); return err },
		"updating a workflow":             func() error { _, err := setCurrentVersion(ctx, tx, "w", versionRow{}); return err },
		"deleting a workflow":             func() error { return deleteWorkflow(ctx, tx, "w", 0, now) },
		"listing workflows": func() error {
			_, err := pageOfWorkflows(ctx, db.DB, "u", subjects.ListWorkflowsRequest{}, "")
			return err
		},
		"listing a workflow's versions":          func() error { _, err := pageOfVersions(ctx, db.DB, "w", 1, 0); return err },
		"storing a secret":                       func() error { _, err := putSecret(ctx, tx, secretRow{}); return err },
		"deleting a secret":                      func() error { return deleteSecret(ctx, tx, "u", "n") },
		"reading secrets":                        func() error { _, err := secretsOf(ctx, db.DB, "u", "", 1); return err },
		"deleting what belongs to a user's rows": func() error { _, err := deleteUserRows(ctx, tx, "u"); return err },

		"inserting an approval": func() error { _, err := insertApproval(ctx, tx, approvalRow{}); return err },
		"reading an approval":   func() error { _, err := findApproval(ctx, db.DB, "a"); return err },
		"listing approvals": func() error {
			_, err := pageOfApprovals(ctx, db.DB, "u", subjects.ListApprovalsRequest{}, 0, "")
			return err
		},
		"settling an approval":                  func() error { _, err := settleApproval(ctx, tx, approvalRow{}); return err },
		"recording the delivery of an approval": func() error { return markDelivered(ctx, tx, "a", now) },
		"withdrawing approvals":                 func() error { return withdrawApprovals(ctx, tx, "e", []string{"1"}, now) },
		"reading pending approvals":             func() error { _, err := pendingCalls(ctx, db.DB, []string{"e"}); return err },
		"searching for orphaned approvals":      func() error { _, err := hasOrphanedApprovals(ctx, db.DB); return err },
		"withdrawing orphaned approvals":        func() error { return withdrawOrphanedApprovals(ctx, tx, now) },
		"reading expired approvals":             func() error { _, err := expiredApprovals(ctx, db.DB, now, 1); return err },
		"reading undelivered approvals":         func() error { _, err := undeliveredApprovals(ctx, db.DB, now, 1); return err },

		"listing failed executions":             func() error { _, err := failedExecutions(ctx, db.DB, failureQuery{}); return err },
		"listing refused starts":                func() error { _, err := refusedStarts(ctx, db.DB, failureQuery{}); return err },
		"reading a refused start":               func() error { _, err := findRefusedStart(ctx, db.DB, "u", "f"); return err },
		"recording a refused start":             func() error { return putRefusedStart(ctx, tx, refusedStartRow{}) },
		"reading failure marks":                 func() error { _, err := failureMarks(ctx, db.DB, []string{"f"}); return err },
		"recording a failure mark":              func() error { return putFailureMark(ctx, tx, failureMarkRow{}) },
		"recording the start of a replayed run": func() error { return markRunStarted(ctx, tx, "w", "e", now) },

		"reading a schedule": func() error { _, err := findSchedule(ctx, db.DB, "u", "s"); return err },
		"listing schedules": func() error {
			_, err := pageOfSchedules(ctx, db.DB, "u", subjects.ListSchedulesRequest{}, "")
			return err
		},
		"reading event schedules":             func() error { _, err := eventSchedules(ctx, db.DB, "u"); return err },
		"reading due schedules":               func() error { _, _, err := dueUsers(ctx, db.DB, now); return err },
		"reading the due schedules of a user": func() error { _, err := dueSchedules(ctx, db.DB, "u", now, 1); return err },
		"updating a schedule":                 func() error { _, err := updateSchedule(ctx, tx, &scheduleRow{}, "wake_at"); return err },
		"locking a schedule":                  func() error { return lockSchedule(ctx, tx, "s") },
		"recording the end of a run":          func() error { return advanceAfter(ctx, tx, "s", 1) },
		"overriding a schedule":               func() error { return overrideSchedule(ctx, tx, scheduleRow{}, "wake_at") },
		"deleting a schedule's runs":          func() error { return deleteSchedule(ctx, tx, "w") },
		"waking a schedule":                   func() error { return wakeSchedule(ctx, tx, "s", now) },

		"checking whether a schedule may start an execution": func() error { _, err := scheduleAllows(ctx, db.DB, "s", "e"); return err },
		"inserting runs":                 func() error { return insertRuns(ctx, tx, []runRow{{}}) },
		"backfilling runs":               func() error { _, err := backfillRuns(ctx, tx, []runRow{{}}); return err },
		"reading open runs":              func() error { _, err := openRuns(ctx, db.DB, "s", 1); return err },
		"counting due runs":              func() error { _, err := countDueRuns(ctx, db.DB, []string{"s"}); return err },
		"reading runs":                   func() error { _, err := recentRuns(ctx, db.DB, "s", 1); return err },
		"settling a run":                 func() error { _, err := settleRun(ctx, tx, runRow{}, runDue); return err },
		"skipping due runs":              func() error { return skipDueRuns(ctx, tx, "s", now) },
		"deleting old runs":              func() error { return deleteOldRuns(ctx, tx, "s", now) },
		"reading the ends of executions": func() error { _, _, err := executionEnds(ctx, db.DB, []string{"e"}); return err },

		"reading correlations": func() error { _, err := correlationsOf(ctx, db.DB, "s", true, 1); return err },
		"reading a correlated event": func() error {
			_, _, err := findCorrelatedEvent(ctx, db.DB, correlatedEventRow{ScheduleID: "s"})
			return err
		},
		"inserting a correlated event": func() error { return insertCorrelatedEvent(ctx, tx, correlatedEventRow{}, now) },
		"storing a correlation":        func() error { return putCorrelation(ctx, tx, correlationRow{}) },
		"deleting a correlation":       func() error { return deleteCorrelation(ctx, tx, "c") },
		"deleting stale correlations":  func() error { return deleteStaleCorrelations(ctx, tx, "s", "t") },
		"deleting correlations":        func() error { return deleteCorrelations(ctx, tx, "s") },
	} {
		err := query()
		if err == nil || engine.IsNotFound(err) || !strings.HasPrefix(err.Error(), doing+": ") || errors.Unwrap(err) == nil {
			t.Errorf("%s: %v", doing, err)
		}
	}
}

// TestEmptySets: queries about no ids do not reach the database.
func TestEmptySets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	if marks, err := failureMarks(ctx, nil, nil); err != nil || len(marks) != 0 {
		t.Errorf("failure marks: %v, %v", marks, err)
	}
	if counts, err := countDueRuns(ctx, nil, nil); err != nil || len(counts) != 0 {
		t.Errorf("due runs: %v, %v", counts, err)
	}
	if ends, known, err := executionEnds(ctx, nil, nil); err != nil || len(ends)+len(known) != 0 {
		t.Errorf("ends of executions: %v, %v, %v", ends, known, err)
	}
	if err := withdrawApprovals(ctx, database.Tx{}, "e", nil, time.Now()); err != nil {
		t.Errorf("withdrawing approvals: %v", err)
	}
	if err := insertRuns(ctx, database.Tx{}, nil); err != nil {
		t.Errorf("inserting runs: %v", err)
	}
	if n, err := backfillRuns(ctx, database.Tx{}, nil); err != nil || n != 0 {
		t.Errorf("backfilling runs: %d, %v", n, err)
	}
}

// TestFullErrorType: a filter may name the specification's errors without their URI.
func TestFullErrorType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"timeout":                 "https://open-workflow-specification.org/spec/1.0.0/errors/timeout",
		"https://example.com/odd": "https://example.com/odd", "urn:weft:error:unknown-outcome": "urn:weft:error:unknown-outcome",
	} {
		if got := fullErrorType(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
